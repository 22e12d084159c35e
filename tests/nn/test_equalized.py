import math

import pytest
import torch
import torch.nn.functional as F

from genray.nn.equalized import ScaledConv2d, ScaledLinear, batch_norm, he_constant, pixel_norm


def test_hes_constant_is_torchs() -> None:
    """torch's own initialization draws with it."""
    torch.manual_seed(0)
    weight = torch.empty(2000, 50)
    torch.nn.init.kaiming_normal_(weight, a=0.2, nonlinearity="leaky_relu")
    assert he_constant(50, math.sqrt(2 / (1 + 0.2**2))) == pytest.approx(weight.std().item(), rel=0.01)


def test_equalized_and_plain_layers_begin_as_the_same_function() -> None:
    x = torch.randn(3, 5, 6, 6)
    for make, value in (
        (lambda e: ScaledConv2d(5, 7, 3, equalized=e), x),
        (lambda e: ScaledLinear(6, 4, equalized=e), x),
    ):
        outputs = []
        for equalized in (True, False):
            torch.manual_seed(0)
            outputs.append(make(equalized)(value))
        torch.testing.assert_close(*outputs)


def test_equalized_weights_are_of_unit_size_and_used_with_hes_constant() -> None:
    torch.manual_seed(0)
    layer, x = ScaledConv2d(16, 64, 3, equalized=True), torch.randn(2, 16, 5, 5)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.02)
    constant = math.sqrt(2 / 1.04) / math.sqrt(16 * 9)
    torch.testing.assert_close(layer(x), F.conv2d(x, constant * layer.weight, padding=1))
    assert layer(x).shape == (2, 64, 5, 5)


def test_a_step_of_adam_moves_equalized_layers_alike() -> None:
    """Relative to the spread of its weights; a plain layer moves the more, the more inputs it has."""
    moved = {}
    for equalized in (True, False):
        for size in (10, 1000):
            torch.manual_seed(0)
            layer = ScaledLinear(size, 20, equalized=equalized)
            before = layer.weight.detach().clone()
            optimizer = torch.optim.Adam([layer.weight], lr=0.01)
            layer(torch.randn(8, size)).square().sum().backward()
            optimizer.step()
            moved[equalized, size] = ((layer.weight - before).abs().mean() / before.std()).item()
    assert moved[True, 1000] == pytest.approx(moved[True, 10], rel=0.1)
    assert moved[False, 1000] == pytest.approx(10 * moved[False, 10], rel=0.1)


def test_pixel_norm_by_brute_force() -> None:
    x = torch.randn(2, 5, 3, 4)
    y = pixel_norm(x)
    for b in range(2):
        for i in range(3):
            for j in range(4):
                expected = x[b, :, i, j] / (sum(v**2 for v in x[b, :, i, j]) / 5).sqrt()
                torch.testing.assert_close(y[b, :, i, j], expected)


def test_batch_norm_is_torchs_by_the_statistics_of_the_reference() -> None:
    x = torch.randn(6, 5, 3, 4) * 3 + 2
    torch.testing.assert_close(batch_norm(x), F.batch_norm(x, None, None, training=True, eps=1e-8))
    mean, variance = x[:4].mean((0, 2, 3)), x[:4].var((0, 2, 3), correction=0)
    torch.testing.assert_close(batch_norm(x, 4), F.batch_norm(x, mean, variance, eps=1e-8))
