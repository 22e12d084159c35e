"""Events as TensorBoard itself reads them, and a disk that is full."""

import resource
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import event_file_writer

from genray.train.events import Events


def test_tensorboard_reads_what_was_added_at_once(tmp_path: Path) -> None:
    events = Events(tmp_path, first_step=1)
    for step in (1, 2, 5):
        events.scalar("validation/frechet", step / 4, step)
    events.flush()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("validation/frechet")] == [(1, 0.25), (2, 0.5), (5, 1.25)]
    events.close()


def test_a_run_that_goes_on_in_the_second_of_its_death_keeps_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_file_writer.time, "time", lambda: 1_800_000_000.5)
    for step in (1, 2):
        events = Events(tmp_path, first_step=step)
        events.scalar("validation/frechet", step / 4, step)
        events.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in read.Scalars("validation/frechet")] == [(1, 0.25), (2, 0.5)]


def test_a_full_disk_is_an_error_and_keeps_no_one_waiting(tmp_path: Path) -> None:
    events = Events(tmp_path, first_step=1)

    def fill() -> None:
        for step in range(1000):
            events.scalar("x", 0.0, step)
            events.flush()

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    events.close()
