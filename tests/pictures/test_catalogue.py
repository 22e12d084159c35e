"""Pictures of conditional models, whose images are known: what stands in which row."""

import numpy as np
from torch import Tensor

from genray.data.spec import DataSpec, Split
from genray.images import SMALLEST_SIDE
from genray.models.base import Batch
from genray.nn.noise import Noise
from genray.pictures.catalogue import Shown, by_label, cross_generation
from genray.samplers import Sampler
from tests.metrics.fakes import SampleOnly

STEP = SMALLEST_SIDE + 2  # pixels from one image to the next


class Labelled(SampleOnly):
    """Images as bright as their label."""

    takes_labels = True

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        assert label is not None
        return (label / 10 * 2 - 1)[:, None, None, None].expand(n, *self.spec.shape)


class Negative(SampleOnly):
    """Two views: an image and its negative."""

    each_shows_class = True

    def pair(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        return batch["image"], -batch["image"]

    def draw_pair(self, n: int, noise: Noise) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def cross(self, x: Tensor, noise: Noise, *, given: int) -> Tensor:
        return -x

    def judged(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return pair


def shown(model: SampleOnly, images: np.ndarray, labels: np.ndarray | None = None) -> Shown:
    return Shown(model, Split(images, labels), "cpu", Sampler("prior", model.sample))


def test_a_row_a_class() -> None:
    labels = np.array([3, 0, 3, 7])
    picture = by_label(shown(Labelled(DataSpec(1, 8, 8, 10)), np.zeros((4, 1, 8, 8), np.uint8), labels))
    assert picture is not None
    expected = np.round(np.array([0, 3, 7]) / 10 * 255)[:, None]
    np.testing.assert_allclose(picture[::STEP, ::STEP, 0], np.broadcast_to(expected, (3, 10)), atol=1)


def test_no_row_where_there_are_no_labels_or_no_way_to_ask_for_one() -> None:
    images, spec = np.zeros((4, 1, 8, 8), np.uint8), DataSpec(1, 8, 8, 10)
    assert by_label(shown(Labelled(spec), images)) is None
    assert by_label(shown(SampleOnly(spec), images, np.arange(4))) is None


def test_each_view_stands_before_what_is_drawn_from_it() -> None:
    images = np.linspace(0, 100, 10).astype(np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    picture = cross_generation(shown(Negative(DataSpec(1, 8, 8, 0)), images))
    assert picture is not None
    x, negative = images[:, 0, 0, :1].astype(int), 255 - images[:, 0, 0, :1].astype(int)
    row = np.concatenate([x, *[negative] * 4, negative, *[x] * 4], axis=1)
    np.testing.assert_allclose(picture[::STEP, ::STEP, 0].astype(int), row, atol=1)
    assert cross_generation(shown(SampleOnly(DataSpec(1, 8, 8, 0)), images)) is None
