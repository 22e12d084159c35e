"""What TensorBoard's own reader finds in the events."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genray.report import compare
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
