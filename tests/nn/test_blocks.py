import pytest
import torch

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.nn.blocks import Network, image_to_vector, interleave, separate, vector_to_image, vector_to_vector
from genray.nn.noise import Noise
from genray.settings import ModelConfig


def config(network: str, hidden: int = 32) -> ModelConfig:
    return ModelConfig.parse({"name": "any", "network": network, "hidden": hidden})


@pytest.mark.parametrize("hidden", [1, 19, 64])
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (2, 9, 17), (4, 45, 8), (1, 15, 15), (3, 64, 48)]
)
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_both_networks_take_and_give_images_of_any_size(network: str, shape: tuple[int, int, int], hidden: int) -> None:
    spec = DataSpec(*shape, num_classes=0)
    images = vector_to_image(config(network, hidden), spec, 5)(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert image_to_vector(config(network, hidden), spec, 7)(images).shape == (2, 7)


def test_conv_refuses_images_that_it_cannot_halve() -> None:
    with pytest.raises(UserError, match="at least 8 x 8, got 7 x 9; take mlp"):
        image_to_vector(config("conv"), DataSpec(1, 7, 9, 0), 1)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_activations_keep_their_spread_through_the_layers(network: str) -> None:
    torch.manual_seed(0)
    spec = DataSpec(1, 32, 32, 0)
    outputs = [
        image_to_vector(config(network, 128), spec, 100)(torch.randn(64, *spec.shape)),
        vector_to_image(config(network, 128), spec, 100)(torch.randn(64, 100)),
    ]
    assert all(0.5 < output.square().mean().sqrt().item() < 2 for output in outputs)


def test_no_layer_looks_across_the_batch() -> None:
    spec = DataSpec(3, 16, 16, 0)
    for network in (image_to_vector(config("conv"), spec, 4), image_to_vector(config("mlp"), spec, 4)):
        images = torch.randn(6, *spec.shape)
        torch.testing.assert_close(network(images)[:2], network(images[:2]), rtol=1e-4, atol=1e-5)


def test_features_are_those_of_the_last_hidden_layer() -> None:
    network = vector_to_vector(9, size_in=3, size_out=2)
    x = torch.randn(4, 3)
    assert network.features(x).shape == (4, 9)
    torch.testing.assert_close(network.head(network.features(x)), network(x))


def test_dropout_acts_after_every_hidden_layer_and_only_with_noise() -> None:
    network: Network = vector_to_vector(1000, size_in=3, size_out=2, dropout=0.4)
    x = torch.randn(4, 3)
    assert (network.features(x) == 0).float().mean() < 0.01
    assert (network.features(x, Noise(0)) == 0).float().mean().item() == pytest.approx(0.4, abs=0.05)
    assert torch.equal(network(x), network(x))


def test_interleaved_parts_come_apart_again_and_stay_with_their_image() -> None:
    a, b, c = torch.randn(3, 5, 2, 4, 4).unbind(0)
    together = interleave(a, b, c)
    assert torch.equal(together[3:6], torch.stack([a[1], b[1], c[1]]))
    assert all(map(torch.equal, separate(together, 3), (a, b, c)))
