"""Optimizers on Apple's MPS, which no machine of the tests has: on tensors that have a place there and no values, and
where float64 is refused as Metal refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genray.models.base import Batch, Loss, Phase
from genray.nn.noise import Noise
from genray.train.adamw import step_all
from genray.train.distributed import Distributed
from genray.train.flat import FlatModule
from genray.train.member import Member, stacked
from genray.train.phases import PhaseRunner
from tests.train.common import experiment

MPS = torch.device("mps")


class Metal(TorchDispatchMode):
    """Refuses float64, and answers yes where Python asks for a value."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            return True
        results = function(*arguments, **(named or {}))
        for result in tree_leaves(results):
            if isinstance(result, torch.Tensor) and (result.device.type, result.dtype) == ("mps", torch.float64):
                raise TypeError("the MPS framework doesn't support float64")
        return results


@pytest.fixture
def _metal() -> Iterator[None]:
    with FakeTensorMode(), Metal():
        yield


def runner_on_mps() -> PhaseRunner:
    def loss(batch: Batch, noise: Noise) -> Loss:
        raise NotImplementedError

    with MPS:
        network = FlatModule(nn.ParameterList([torch.zeros(3, 2), torch.zeros(2)]))
    network.vector.grad = torch.ones_like(network.vector)
    asked = experiment(**{"optimizer.clip_norm": 1.0})
    return PhaseRunner(Phase("phase", ("network",), loss), {"network": network}, asked)


@pytest.mark.usefixtures("_metal")
def test_metal_refuses_float64_here_too() -> None:
    with pytest.raises(TypeError, match="float64"):
        torch.zeros(2, device=MPS).double()
    with pytest.raises(TypeError, match="float64"):
        torch.tensor(0.1, dtype=torch.float64, device=MPS)


@pytest.mark.usefixtures("_metal")
def test_a_phase_has_its_rate_and_moments_there() -> None:
    runner = runner_on_mps()
    runner.scale_learning_rate(0.5)
    runner.forget()
    assert runner.rate.device.type == "mps"
    assert runner.moments()[0].exp_avg.device.type == "mps"


@pytest.mark.usefixtures("_metal")
def test_members_of_a_pack_take_their_steps_there() -> None:
    runners = [runner_on_mps() for _ in range(2)]
    place = Distributed.single(MPS)
    trainers = [
        SimpleNamespace(distributed=place, phases=[runner], networks={"network": runner.moved[0]}, model=nn.Module())
        for runner in runners
    ]
    held = stacked([Member(trainer, torch.empty(0, device=MPS)).held() for trainer in trainers])
    gradients = [torch.stack([runner.moved[0].gradient for runner in runners])]
    step_all([held.networks["network"]], gradients, held.moments[0], held.rates[0], held.constants[0], clip=True)
    assert all(tensor.device.type == "mps" for tensor in held.tensors())
