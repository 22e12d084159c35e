"""Losses in bfloat16 beside weights in float32."""

import pytest
import torch

from genray import models
from genray.data.spec import Dataset
from tests.models.steps import networks
from tests.train.packs import CASES, Changes, alone, losses, member

MODELS: dict[str, Changes] = {
    **{f"{name}-{kind}": {"name": name, "network": kind} for name in models.names() for kind in networks(name)},
    **{case: model for case, (model, _) in CASES.items()},
    "gan-minibatch-conv": {"name": "gan", "minibatch_discrimination": 4, "network": "conv"},
    "gan-spectral-penalty": {"name": "gan", "loss": "wgan_gp", "spectral_norm": True, "minibatch_discrimination": 4},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_losses_are_those_of_float32_but_for_rounding(model: Changes, digits: Dataset) -> None:
    wide, narrow = (
        alone(member(digits, model, precision=precision), range(1)) for precision in ("float32", "bfloat16")
    )
    for expected, found in zip(losses(wide), losses(narrow), strict=True):
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
        assert not torch.equal(found, expected)
