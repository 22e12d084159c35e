"""Pairs of views of an image, and what they refuse."""

import pytest
import torch

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.nn.noise import Noise
from genray.nn.pairs import PAIRINGS, binarize, halves, one_hot

GREY, COLOUR = DataSpec(1, 9, 9, 3), DataSpec(3, 9, 9, 3)


def images(spec: DataSpec, n: int = 6) -> torch.Tensor:
    return Noise("images").uniform(n, *spec.shape) * 2 - 1


def test_a_label_is_a_one_hot_vector_and_shows_its_class() -> None:
    labels = torch.tensor([2, 0, 1])
    batch = {"image": images(GREY, 3), "label": labels}
    label, image = PAIRINGS["image_label"](GREY).views(batch, Noise(0))
    assert torch.equal(label, torch.nn.functional.one_hot(labels, 3).float())
    assert torch.equal(one_hot(labels, 3).argmax(1), labels)
    assert torch.equal(image, batch["image"])


@pytest.mark.parametrize("spec", [GREY, DataSpec(3, 8, 5, 0)], ids=str)
def test_halves_are_all_of_the_image(spec: DataSpec) -> None:
    x, pairing = images(spec), PAIRINGS["halves"](spec)
    pair = pairing.views({"image": x}, Noise(0))
    assert [half.shape[1:] for half in pair] == [view.shape for view in pairing.specs]
    assert all(torch.equal(whole, x) for whole in pairing.judged(pair))
    assert all(map(torch.equal, halves(x), pair))


def test_a_rotated_copy_has_the_top_row_as_its_left_column_and_is_judged_upright() -> None:
    x, pairing = images(GREY), PAIRINGS["rotated"](GREY)
    pair = pairing.views({"image": x}, Noise(0))
    assert torch.equal(pair[1][:, :, :, 0], x[:, :, 0].flip(2))
    assert all(torch.equal(view, x) for view in pairing.judged(pair))


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_a_recoloured_copy_is_darker_by_one_colour_for_each_image(spec: DataSpec) -> None:
    x, pairing = images(spec), PAIRINGS["recoloured"](spec)
    _, copy = pairing.views({"image": x}, Noise(0))
    assert copy.shape == (6, 3, 9, 9)
    light = (copy + 1) / (x + 1)
    torch.testing.assert_close(light, light[:, :, :1, :1].expand_as(light), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(light.amax(1), torch.ones(6, 9, 9), rtol=1e-3, atol=1e-3)
    assert len(light[:, :, 0, 0].unique(dim=0)) == 6
    if spec == GREY:
        torch.testing.assert_close(pairing.judged((x, copy))[1], x)


def test_pixels_are_1_as_often_as_they_are_bright() -> None:
    grey = torch.linspace(-1, 1, 5).expand(20_000, 5)
    drawn = binarize(grey, Noise(0))
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(drawn.mean(0), grey[0], rtol=0, atol=0.03)
    assert (drawn[:, 0] == -1).all()
    assert (drawn[:, -1] == 1).all()


@pytest.mark.parametrize(
    ("views", "spec", "words"),
    [
        ("image_label", DataSpec(1, 8, 8, 0), "dataset with labels"),
        ("rotated", DataSpec(1, 8, 9, 3), "square images, got 8 x 9"),
        ("halves", DataSpec(1, 1, 8, 3), "at least 2 x 2, got 1 x 8"),
    ],
)
def test_views_that_the_data_cannot_give(views: str, spec: DataSpec, words: str) -> None:
    with pytest.raises(UserError, match=words):
        PAIRINGS[views](spec)
