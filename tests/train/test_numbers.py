import operator

import pytest
import torch
from torch import Tensor

from genray.data.spec import DataSpec
from genray.models.base import build
from genray.nn.noise import Noise
from genray.train.draws import Draw, Handed, Listing
from genray.train.numbers import Number, numbers_of, replaced, tensor_of
from tests.train.common import experiment


@pytest.mark.parametrize(
    "operation", [operator.add, operator.sub, operator.mul, operator.truediv, operator.ge, operator.lt]
)
def test_a_number_beside_a_tensor_is_a_float(operation: object) -> None:
    x = torch.tensor([0.5, 2.0, 0.25])
    torch.testing.assert_close(operation(x, Number(torch.tensor(0.25))), operation(x, 0.25))


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
def test_a_number_among_numbers_is_a_float(operation: object) -> None:
    number = Number(torch.tensor(0.25))
    for found, expected in (
        (operation(number, 3.0), operation(0.25, 3.0)),
        (operation(number, number), operation(0.25, 0.25)),
        (operation(number, torch.tensor([2.0, 3.0])), operation(0.25, torch.tensor([2.0, 3.0]))),
    ):
        torch.testing.assert_close(found, torch.as_tensor(expected))
    if operation is not operator.pow:
        torch.testing.assert_close(operation(3.0, number), torch.tensor(operation(3.0, 0.25)))
    torch.testing.assert_close(-number, torch.tensor(-0.25))


def test_a_number_is_not_0_and_has_no_order() -> None:
    number = Number(torch.tensor(0.25))
    assert number
    assert number != 0.0
    with pytest.raises(TypeError, match="'>' not supported"):
        _ = number > 0.1


def test_functions_of_torch_take_it_where_they_take_a_tensor() -> None:
    x = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(torch.lerp(x, 2 * x, Number(torch.tensor(0.25))), 1.25 * x)


def test_inside_it_stands_in_modules_and_configurations_and_outside_nothing_has_changed(tiny_spec: DataSpec) -> None:
    model = build(experiment(**{"model.dropout": 0.2}).model, tiny_spec, seed=0)
    before = numbers_of(model)
    assert before["", "config", "dropout"] == before["encoder", "dropout", ""] == 0.2
    places = [("", "config", "kl_weight"), ("", "config", "dropout"), ("encoder", "dropout", "")]
    values = tensor_of(dict.fromkeys(places, 0.25), places, torch.device("cpu"))
    held = model.config
    with replaced(model, places, values):
        found = [model.config.kl_weight, model.config.dropout, model.encoder.dropout]
        assert [float(1.0 * number) for number in found] == [0.25] * 3
        assert model.decoder.dropout == 0.2
        assert model.config.latent == held.latent
    assert model.config is held
    assert numbers_of(model) == before


def drawn_by(noise: Noise) -> list[Tensor]:
    x = torch.ones(4, 3)
    return [noise.normal(4, 2), noise.uniform(4), noise.dropout(x, 0.5), noise.dropout(x, 0.0)]


def test_draws_that_were_listed_are_those_of_the_noise() -> None:
    listing = Listing(0, 1, "elbo")
    expected = drawn_by(listing)
    assert listing.draws == [Draw("normal", (4, 2)), Draw("uniform", (4,)), Draw("uniform", (4, 3))]
    noise = Noise(0, 1, "elbo")
    found = drawn_by(Handed(listing.draws, [draw.by(noise) for draw in listing.draws], "cpu"))
    assert all(map(torch.equal, found, expected))
    assert all(map(torch.equal, found, drawn_by(Noise(0, 1, "elbo"))))


def test_draws_in_another_order_are_not_given() -> None:
    listed = [Draw("normal", (4, 2)), Draw("uniform", (4,))]
    drawn = [draw.by(Noise(0)) for draw in listed]
    with pytest.raises(RuntimeError, match=r"in another order: .*uniform.* where .*normal.* came before"):
        Handed(listed, drawn, "cpu").uniform(4)
    handed = Handed(listed, drawn, "cpu")
    handed.normal(4, 2)
    handed.uniform(4)
    with pytest.raises(RuntimeError, match="where None came before"):
        handed.normal(4, 2)
