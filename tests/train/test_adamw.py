"""AdamW of several replicas against PyTorch's of each."""

import math

import pytest
import torch

from genray.train.adamw import Constants, Moments, step_all

# R replicas, n parameters of a network

CONSTANTS = [
    Constants(0.9, 0.999, 0.0, 1e-8, math.inf),
    Constants(0.5, 0.9, 0.1, 1e-8, 0.5),
    Constants(0.0, 0.99, 0.01, 1e-3, 100.0),
]
RATES = [1e-3, 2e-2, 1e-4]
SIZES = [7, 3]


@pytest.mark.usefixtures("exact")
def test_each_replica_is_moved_as_by_pytorch() -> None:
    """Over 30 steps, with gradients that are clipped at some of them and not at others."""
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(3, n, generator=generator) for n in SIZES]
    parameters = [[torch.nn.Parameter(vector[r].clone()) for vector in vectors] for r in range(3)]
    optimizers = [
        torch.optim.AdamW(own, lr=rate, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay, eps=c.eps)
        for own, rate, c in zip(parameters, RATES, CONSTANTS, strict=True)
    ]
    moments = [Moments(torch.zeros(3), torch.zeros(3, n), torch.zeros(3, n)) for n in SIZES]
    clipped = 0
    for _ in range(30):
        scale = torch.rand(3, 1, generator=generator)
        gradients = [scale * torch.randn(3, n, generator=generator) for n in SIZES]
        before = [gradient.clone() for gradient in gradients]
        step_all(vectors, gradients, moments, torch.tensor(RATES), torch.tensor(CONSTANTS), clip=True)
        assert all(map(torch.equal, gradients, before))
        for r, (own, constants, optimizer) in enumerate(zip(parameters, CONSTANTS, optimizers, strict=True)):
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter.grad = gradient[r].clone()
            clipped += bool(torch.nn.utils.clip_grad_norm_(own, constants.clip_norm) > constants.clip_norm)
            optimizer.step()
    assert 0 < clipped < 30
    for r, own in enumerate(parameters):
        for parameter, vector in zip(own, vectors, strict=True):
            torch.testing.assert_close(vector[r], parameter.detach(), rtol=1e-12, atol=1e-12)


def test_a_replica_whose_gradient_is_not_finite_harms_no_other() -> None:
    vector, gradient = torch.ones(2, 4), torch.tensor([[1.0] * 4, [math.nan] * 4])
    moments = Moments(torch.zeros(2), torch.zeros(2, 4), torch.zeros(2, 4))
    step_all([vector], [gradient], [moments], torch.ones(2), torch.tensor(CONSTANTS[:2]), clip=True)
    assert vector[0].isfinite().all()
    assert vector[1].isnan().all()
