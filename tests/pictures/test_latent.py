"""Latent pictures against codes and images that are known: pixels are the codes."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from torch import Tensor

from genray.config import Experiment
from genray.data.spec import Dataset, DataSpec, Split
from genray.images import SMALLEST_SIDE
from genray.models.base import build
from genray.pictures import latent
from genray.pictures.catalogue import PICTURES, Shown, draw_all
from genray.samplers import Sampler

STEP = SMALLEST_SIDE + 2  # pixels from one image to the next


class TwoPixels:
    """Images of two pixels, which are the codes."""

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def decode(self, codes: Tensor) -> Tensor:
        return codes.view(-1, 1, 1, 2)


def tiles(picture: np.ndarray) -> np.ndarray:
    """(rows, columns, 2): the two pixels of each image, in [-1, 1]."""
    return (
        np.stack([picture[::STEP, :: STEP * 2 - 2, 0], picture[::STEP, SMALLEST_SIDE :: STEP * 2 - 2, 0]], -1) / 127.5
        - 1
    )


def test_interpolation_goes_in_equal_steps_from_one_image_to_the_other() -> None:
    real = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.2, 0.2], [0.2, -1.0]]).view(4, 1, 1, 2)
    rows = tiles(latent.interpolation(TwoPixels(), real))
    assert rows.shape == (2, 2 + latent.NUM_STEPS, 2)
    for row, first, last in zip(rows, ([-1, 0], [0.2, 0.2]), ([1, 0.5], [0.2, -1]), strict=True):
        np.testing.assert_allclose(row[0], first, atol=0.01)
        np.testing.assert_allclose(row[-1], last, atol=0.01)
        np.testing.assert_allclose(row[1:-1], np.linspace(first, last, latent.NUM_STEPS), atol=0.01)


def test_the_plane_of_a_gaussian_has_equal_steps_of_probability() -> None:
    class Cdf(TwoPixels):
        def decode(self, codes: Tensor) -> Tensor:
            return torch.tensor(stats.norm.cdf(codes.numpy()) * 2 - 1).view(-1, 1, 1, 2)

    plane = (tiles(latent.manifold(Cdf(), None, "cpu")) + 1) / 2
    places = (np.arange(latent.SIDE) + 0.5) / latent.SIDE
    np.testing.assert_allclose(plane[..., 0], np.broadcast_to(places, plane.shape[:2]), atol=0.005)  # to the right
    np.testing.assert_allclose(plane[..., 1], np.broadcast_to(places[::-1, None], plane.shape[:2]), atol=0.005)  # up


def test_the_plane_between_corners() -> None:
    plane = tiles(latent.manifold(TwoPixels(), (torch.tensor([-1.0, 0.0]), torch.tensor([0.0, 1.0])), "cpu"))
    half = 0.5 / latent.SIDE
    np.testing.assert_allclose(plane[-1, 0], [-1 + half, half], atol=0.01)
    np.testing.assert_allclose(plane[0, -1], [-half, 1 - half], atol=0.01)


def test_principal_components_are_scikit_learns_up_to_sign() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 3
    places, shares = latent.principal_components(codes)
    reference = PCA(2).fit(codes)
    np.testing.assert_allclose(np.abs(places), np.abs(reference.transform(codes)), atol=1e-9)
    np.testing.assert_allclose(shares, reference.explained_variance_ratio_)
    moved = latent.principal_components(codes + rng.normal(size=codes.shape) * 1e-3)[0]
    np.testing.assert_allclose(moved, places, atol=0.1)  # not mirrored


def test_dots_lie_where_codes_do_in_the_color_of_their_label() -> None:
    corners = np.array([[0, 0], [255, 0], [255, 255], [0, 255]], np.uint8).reshape(4, 1, 1, 2)
    to_float_codes = Split(corners, np.array([0, 1, 2, 3]))
    picture = latent.codes(TwoPixels(), to_float_codes, "cpu")
    inset = latent.FRAME * (1 - 1 / 1.05) / 2
    low, high = round(latent.MARGIN + inset), round(latent.MARGIN + latent.FRAME - inset)
    for label, (x, y) in enumerate([(low, high), (high, high), (high, low), (low, low)]):
        assert picture[y, x].tolist() == list(bytes.fromhex(latent.COLORS[label][1:]))


@pytest.mark.parametrize(("labels", "width"), [(None, 4), (np.arange(30) % 15, 4), (np.zeros(30, int), 1)])
def test_smoke_codes_without_labels_with_many_and_of_one_dimension(labels: np.ndarray | None, width: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 1, width), np.uint8)
    assert latent.codes(TwoPixels(), Split(images, labels), "cpu").ndim == 3


ALL = {"samples", "reconstructions", "interpolation", "manifold", "codes"}


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ({"name": "vae", "latent": 2}, ALL),
        ({"name": "aae", "latent": 2, "prior": "swiss_roll"}, ALL),
        ({"name": "vae_gan", "latent": 3}, ALL - {"manifold"}),
        ({"name": "gan"}, {"samples"}),
        ({"name": "cvae", "condition": "label"}, {"samples", "by_label"}),
        ({"name": "cvae", "condition": "top"}, {"samples", "completions"}),
        ({"name": "joint_vae", "views": "image_label"}, ALL - {"manifold"} | {"by_label"}),
        ({"name": "joint_vae", "views": "rotated"}, ALL - {"manifold"} | {"cross_generation"}),
        ({"name": "joint_vae", "views": "halves"}, ALL - {"manifold"} | {"completions"}),
    ],
)
def test_pictures_that_a_model_has(model: dict[str, object], names: set[str], digits: Dataset) -> None:
    config = Experiment.parse({"model": model}).model
    built = build(config, digits.spec, seed=0).eval()
    drawn = draw_all(Shown(built, digits.validation, "cpu", Sampler("prior", built.sample)))
    assert drawn.keys() == names
    assert names <= PICTURES.keys()
    assert all(picture.dtype == np.uint8 and picture.shape[2] in (1, 3) for picture in drawn.values())


def test_a_mixture_is_told_from_a_gaussian_prior() -> None:
    for prior, gaussian in (("mixture", False), ("gaussian", True)):
        config = Experiment.parse({"model": {"name": "aae", "latent": 2, "prior": prior}}).model
        assert build(config, DataSpec(1, 8, 8, 10), seed=0).gaussian_prior is gaussian
