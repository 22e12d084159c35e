"""Inception v3 of 2015 as papers use it for the FID: TensorFlow's weights and its way to resize, by torch-fidelity."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from genray.extractors.embedding import Network
from genray.extractors.weights import Weights


class Inception(Network):
    """The 2,048 features of its last pooling. Heusel et al. 2017; the library is Obukhov et al. 2020."""

    def build(self, state: dict[str, Tensor]) -> nn.Module:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        file = (
            io.BytesIO()
        )  # it unpickles whatever file it is given: so not the user's, but weights that were read safely
        torch.save(state, file)
        file.seek(0)
        network: nn.Module = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], file)
        return network

    def prepare(self, images: Tensor) -> Tensor:
        return images  # the network resizes to 299 x 299 itself, as TensorFlow 1 did


INCEPTION = Inception(
    name="inception-2048@1",
    num_features=2_048,
    weights=Weights(
        url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        num_bytes=95_628_359,
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
    package="torch-fidelity",
    module="torch_fidelity",
)
