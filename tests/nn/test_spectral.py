import pytest
import torch
from torch import nn

from genray.nn import spectral
from genray.nn.spectral import SpectralNorm, normalize_spectrally

LAYERS = [lambda: nn.Linear(7, 5), lambda: nn.Conv2d(3, 6, 4, stride=2, padding=1)]
of_both_kinds = pytest.mark.parametrize("make", LAYERS, ids=["linear", "conv"])


def inputs(layer: nn.Module) -> torch.Tensor:
    return torch.randn(4, 7) if isinstance(layer, nn.Linear) else torch.randn(4, 3, 8, 8)


@of_both_kinds
def test_sigma_is_the_largest_singular_value(make) -> None:
    torch.manual_seed(0)
    layer = SpectralNorm(make())
    for _ in range(200):
        layer.iterate()
    torch.testing.assert_close(layer.sigma(), torch.linalg.svd(layer.layer.weight.flatten(1)).S[0])
    x = inputs(layer.layer)
    bias = layer.layer.bias.view(-1, *[1] * (layer(x).ndim - 2))
    torch.testing.assert_close(layer(x) - bias, (layer.layer(x) - bias) / layer.sigma())


@of_both_kinds
def test_output_and_gradients_are_those_of_torch(make) -> None:
    """From the same vectors: torch's parametrization, which moves them in its forward pass, moves them no more."""
    torch.manual_seed(0)
    theirs = nn.utils.parametrizations.spectral_norm(make()).eval()
    [norm] = theirs.parametrizations.weight
    ours = SpectralNorm(make())
    ours.layer.load_state_dict({"weight": theirs.parametrizations.weight.original, "bias": theirs.bias})
    ours.u.copy_(norm._u)
    ours.v.copy_(norm._v)
    x = inputs(ours.layer)
    torch.testing.assert_close(ours(x), theirs(x))
    gradients = [
        torch.autograd.grad(layer(x).square().sum(), weight)[0]
        for layer, weight in ((ours, ours.layer.weight), (theirs, theirs.parametrizations.weight.original))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_one_iteration_is_one_of_torch() -> None:
    torch.manual_seed(0)
    theirs = nn.utils.parametrizations.spectral_norm(nn.Linear(7, 5))
    [norm] = theirs.parametrizations.weight
    ours = SpectralNorm(nn.Linear(7, 5))
    ours.layer.load_state_dict({"weight": theirs.parametrizations.weight.original, "bias": theirs.bias})
    ours.u.copy_(norm._u)
    ours.v.copy_(norm._v)
    theirs(torch.randn(2, 7))  # in training mode it iterates once
    ours.iterate()
    torch.testing.assert_close((ours.u, ours.v), (norm._u, norm._v))


def test_every_layer_of_a_network_is_normalized_once() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.Flatten(), nn.Linear(8, 3)), nn.ReLU())
    normalize_spectrally(network)
    layers = [module for module in network.modules() if isinstance(module, SpectralNorm)]
    assert len(layers) == 2
    assert not any(isinstance(layer.layer, SpectralNorm) for layer in layers)
    for p in network.parameters():
        p.data.mul_(-1)
    before = [layer.u.clone() for layer in layers]
    spectral.iterate(network)  # u follows Wv, which has changed its sign
    for layer, u in zip(layers, before, strict=True):
        torch.testing.assert_close(layer.u, -u, rtol=0.01, atol=0.05)
