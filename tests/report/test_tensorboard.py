"""What TensorBoard's own reader finds in the events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genray.report import compare
from genray.report.tensorboard import tiled
from tests.report.fabricate import write_run


def test_table_and_samples_once_however_often_it_is_written(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"{model}-{seed}", model, seed=seed) for model in ("vae", "gan") for seed in (1, 2)]
    out = tmp_path / "out"
    out.mkdir()
    other = out / "events.out.tfevents.1.someone"
    other.write_bytes(b"")
    for _ in range(2):
        compare(runs, out)
    assert other.exists()
    assert len(list(out.glob("events*"))) == 2
    other.unlink()
    events = EventAccumulator(str(out)).Reload()
    [table] = events.Tensors("comparison/text_summary")
    assert table.tensor_proto.string_val[0].decode() == (out / "comparison.md").read_text()
    [picture] = events.Images("comparison/samples")
    assert (picture.width, picture.height) == (3 * 320, 348)


def test_a_caption_keeps_to_its_picture_and_pictures_stand_in_lines(tmp_path: Path) -> None:
    """The pictures are white and one has a name, so all ink is that name's: it lies above its own picture."""
    Image.new("L", (312, 312), 255).save(tmp_path / "white.png")
    names = [""] * 19
    names[12] = f"vae (optimizer.phases.generator.learning_rate=0.000492, model.latent=100, {'x' * 60})"
    ink = tiled([(name, tmp_path / "white.png") for name in names]).mean(axis=2) < 128
    height, width = ink.shape
    assert width == 8 * 320
    assert height % 3 == 0  # lines of pictures
    rows, columns = np.nonzero(ink)
    assert columns.min() >= 4 * 320
    assert columns.max() < 5 * 320
    assert rows.min() >= height // 3
    assert rows.max() < 2 * height // 3 - 320
    alone = tiled([(names[12].replace(" ", ""), tmp_path / "white.png")])
    assert np.count_nonzero(alone.mean(axis=2) < 128) == pytest.approx(
        np.count_nonzero(ink), rel=0.1
    )  # nothing is lost
