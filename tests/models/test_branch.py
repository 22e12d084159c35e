"""A model says what its losses branch on: while that is the same, so are operations, with their numbers and shapes."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genray import models
from genray.models.base import Batch, Progress
from genray.nn.noise import Noise
from tests.models.steps import digit_batch, make

NUM_STEPS = 60
MODELS: list[dict[str, Any]] = [
    *({"name": name} for name in models.names()),
    {"name": "vae", "kl_warmup_epochs": 3.0, "dropout": 0.2},
    {"name": "cvae", "kl_warmup_epochs": 3.0},
    {"name": "joint_vae", "kl_warmup_epochs": 3.0},
    {"name": "gan", "spectral_norm": True},
    {"name": "progan", "loss": "wgan_gp"},
]


class Operations(TorchDispatchMode):
    """The names of operations, with the shapes and numbers that they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [x for x in tree_leaves((args, kwargs)) if not isinstance(x, torch.Generator)]
        shown = [tuple(x.shape) if isinstance(x, torch.Tensor) else x for x in given]
        self.seen.append(f"{func} {shown}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("config", MODELS, ids=lambda config: "-".join(map(str, config.values())))
def test_operations_are_the_same_while_the_branch_is(config: dict[str, Any]) -> None:
    model, batch = make(**config, hidden=8), digit_batch(8)
    found: dict[object, list[list[str]]] = {}
    for step in range(NUM_STEPS):
        model.set_progress(Progress(step, num_steps=NUM_STEPS, steps_per_epoch=10))
        found.setdefault(model.branch(), []).append(_operations(model, batch, step))
    assert None not in found
    assert len(found) < NUM_STEPS / 4
    for lists in found.values():
        assert all(operations == lists[0] for operations in lists)


def _operations(model: Any, batch: Batch, step: int) -> list[str]:
    with Operations() as operations:
        for phase in model.phases():
            torch.autograd.backward(phase.loss(batch, Noise(0, step, phase.name)).total)
    model.zero_grad()
    return operations.seen
