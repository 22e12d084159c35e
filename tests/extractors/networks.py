"""The libraries' networks with random weights, and files of them where a user would put the official ones."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import timm
import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from genray.extractors import dinov2, inception

NETWORKS = {"inception": (inception, "INCEPTION"), "dinov2_vits14": (dinov2, "SMALL")}


def random_inception() -> nn.Module:
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with mock.patch.object(FeatureExtractorInceptionV3, "load_state_dict"):
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], empty)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # the default would leave nothing of the image after 90 layers
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def random_dinov2() -> nn.Module:
    """For the 518 pixels of the authors' training. Its embedding of places is the same everywhere, so that it does not
    matter how it is resized: timm does that in another way."""
    network = timm.create_model("vit_small_patch14_dinov2", num_classes=0, dynamic_img_size=True).eval()
    with torch.no_grad():
        network.pos_embed.copy_(torch.randn(network.pos_embed.shape[-1]).expand_as(network.pos_embed))
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(1.0)  # 1e-5 at first, with which the blocks do nothing
    return network


def put(name: str, network: nn.Module, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes the file, and lets its hash be the official one."""
    module, which = NETWORKS[name]
    official = getattr(module, which)
    monkeypatch.setenv("GENRAY_CACHE", str(cache))
    path: Path = official.weights.path
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = {"mask_token": torch.zeros(1, 384)} if name == "dinov2_vits14" else {}
    torch.save(network.state_dict() | extra, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(module, which, replace(official, weights=replace(official.weights, sha256=sha256)))
    return path
