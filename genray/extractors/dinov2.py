"""DINOv2 (Oquab et al. 2023), whose distances agree better with people than Inception's (Stein et al. 2023).

The network is timm's, the weights are their authors' own file, and what is done to images and to the embedding of
places is what Stein et al.'s dgm-eval (arXiv:2306.04675) does with the authors' code: 224 x 224 pixels, bicubic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from genray.extractors.embedding import Network
from genray.extractors.weights import Weights

# n images, P patches a side in training, p patches a side here, D feature dimensions

SIDE, PATCH = 224, 14  # pixels
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels
_OFFSET = 0.1  # patches; the authors' code scales to 16.1 of them


@dataclass(frozen=True)
class DinoV2(Network):
    """The class token after the last norm."""

    architecture: str  # as timm calls it

    def read(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Without the token of masks, which training alone uses, and with places for images of SIDE."""
        kept = {name: value for name, value in state.items() if name != "mask_token"}
        return kept | {"pos_embed": resized_places(state["pos_embed"], SIDE // PATCH)}

    def build(self, state: dict[str, Tensor]) -> nn.Module:
        import timm

        network: nn.Module = timm.create_model(self.architecture, pretrained=False, img_size=SIDE, num_classes=0)
        network.load_state_dict(state)
        return network

    def prepare(self, images: Tensor) -> Tensor:
        """Resized by Pillow, from which torchvision's resizing of tensors is two grey values off at some pixels."""
        pictures = [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).contiguous().numpy()]
        resized = np.stack([np.asarray(p.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for p in pictures])
        scaled = torch.from_numpy(resized).permute(0, 3, 1, 2).float() / 255
        return (scaled - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def resized_places(places: Tensor, side: int) -> Tensor:
    """Embeddings (1, 1 + P P, D) of a class token and P x P patches → (1, 1 + p p, D), p = `side`, as the authors'
    `interpolate_pos_encoding` makes them. timm's own way smooths them first."""
    of_class, of_patches = places[:, :1], places[:, 1:]
    before = round(of_patches.shape[1] ** 0.5)
    plane = of_patches.reshape(1, before, before, -1).permute(0, 3, 1, 2)
    scale = (side + _OFFSET) / before
    resized = F.interpolate(plane, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([of_class, resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def _weights(name: str, num_bytes: int, sha256: str) -> Weights:
    return Weights(f"https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth", num_bytes, sha256)


LARGE = DinoV2(
    name="dinov2-vitl14-1024@1",
    num_features=1_024,
    weights=_weights(
        "dinov2_vitl14", 1_217_586_395, "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"
    ),
    package="timm",
    module="timm",
    architecture="vit_large_patch14_dinov2",
)
SMALL = DinoV2(
    name="dinov2-vits14-384@1",
    num_features=384,
    weights=_weights("dinov2_vits14", 88_283_115, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    package="timm",
    module="timm",
    architecture="vit_small_patch14_dinov2",
)
