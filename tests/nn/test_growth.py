import pytest
import torch

from genray.data.spec import DataSpec
from genray.nn.growth import Canvas, Stage, double, halve, level_and_alpha


@pytest.mark.parametrize(
    ("height", "width", "side", "num_levels"),
    [(4, 4, 4, 1), (5, 4, 8, 2), (8, 8, 8, 2), (28, 28, 32, 4), (32, 32, 32, 4), (9, 17, 32, 4), (33, 5, 64, 5)],
)
def test_the_canvas_is_the_smallest_that_holds_the_images(height: int, width: int, side: int, num_levels: int) -> None:
    canvas, images = Canvas(DataSpec(2, height, width, 0)), torch.randn(3, 2, height, width)
    assert (canvas.side, canvas.num_levels) == (side, num_levels)
    placed = canvas.place(images)
    assert placed.shape == (3, 2, side, side)
    assert torch.equal(canvas.cut(placed), images)
    assert placed.min() == images.min()


def test_28_pixels_lie_in_the_middle_of_32() -> None:
    placed = Canvas(DataSpec(1, 28, 28, 0)).place(torch.zeros(1, 1, 28, 28) + torch.arange(28.0))
    assert placed[0, 0, 0].tolist() == [0, 0, *range(28), 27, 27]


def test_images_of_a_level_are_means_of_their_pixels() -> None:
    canvas, images = Canvas(DataSpec(1, 16, 16, 0)), torch.randn(3, 1, 16, 16)
    for level, side in enumerate([4, 8, 16]):
        expected = images.view(3, 1, side, 16 // side, side, 16 // side).mean((3, 5))
        torch.testing.assert_close(canvas.shrink(images, Stage(level, None)), expected)
    assert torch.equal(canvas.shrink(images, Stage(2, torch.tensor(1.0))), images)
    torch.testing.assert_close(canvas.shrink(images, Stage(2, torch.tensor(0.0))), double(halve(images)))


def test_an_image_of_a_low_level_is_enlarged_to_the_data() -> None:
    canvas, image = Canvas(DataSpec(1, 8, 8, 0)), torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(canvas.cut(image), image.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize(("num_levels", "num_steps", "share"), [(1, 10, 0.5), (2, 7, 0.3), (4, 1000, 1.0), (6, 5, 0.5)])
def test_growth_goes_up_and_ends_at_the_last_level(num_levels: int, num_steps: int, share: float) -> None:
    stages = [level_and_alpha(step, num_steps, num_levels, share) for step in range(num_steps + 1)]
    assert [level for level, _ in stages] == sorted(level for level, _ in stages)
    assert all(0 <= alpha <= 1 for _, alpha in stages)
    assert stages[0] == (0, 1.0)
    assert stages[-1] == (num_levels - 1, 1.0)
