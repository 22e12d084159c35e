"""Samples over training time: which epochs are kept, how much they take, and that they are what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genray.config import Experiment
from genray.images import grid
from genray.pictures import frames
from genray.runs import create_run
from genray.train.log import RunLog


@pytest.mark.parametrize(("epochs", "every"), [(1, 5), (7, 5), (40, 5), (60, 1), (1000, 3)])
def test_kept_epochs_are_evaluated_evenly_spread_and_few(epochs: int, every: int) -> None:
    kept = sorted(frames.epochs_kept(epochs, every))
    evaluated = [epoch for epoch in range(epochs + 1) if epoch % every == 0 or epoch == epochs]
    assert len(kept) == min(frames.MOST, len(evaluated))
    assert set(kept) <= set(evaluated)
    assert (kept[0], kept[-1]) == (0, epochs)
    places = np.diff([evaluated.index(epoch) for epoch in kept])
    assert max(places) - min(places) <= 1


@pytest.mark.timeout(30)
def test_the_epochs_of_a_run_without_end_are_picked_at_once() -> None:
    kept = frames.epochs_kept(10**9, 1)
    assert len(kept) == frames.MOST
    assert {0, 10**9} <= kept


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 64)])
def test_a_run_keeps_small_pictures_of_what_was_drawn(tmp_path: Path, channels: int, side: int) -> None:
    values = {"dataset": "digits", "epochs": 60, "evaluate_every": 2, "model": {"name": "vae"}}
    run = create_run(tmp_path / "run", Experiment.parse(values))
    dark = np.zeros((100, channels, side, side), np.uint8)
    with RunLog(run, epoch=0) as log:
        for epoch in range(0, 61, 2):
            log.pictures({"samples": grid(dark + np.uint8(4 * epoch))}, epoch)
    assert set(run.frames) == frames.epochs_kept(60, 2)
    for epoch, path in run.frames.items():
        assert path.stat().st_size < 30_000
        with Image.open(path) as picture:
            assert max(picture.size) <= frames.SIDE
            assert np.median(np.asarray(picture)) == pytest.approx(4 * epoch, abs=3)


@pytest.mark.parametrize(("last", "every"), [(3, 1), (100, 1), (500, 5), (97, 2)])
def test_frames_of_a_run_whose_end_is_not_known_stay_few_and_even(tmp_path: Path, last: int, every: int) -> None:
    values = {"budget": {"seconds": 9}, "evaluate_every": every, "model": {"name": "vae"}}
    run = create_run(tmp_path / "run", Experiment.parse(values))
    for epoch in sorted({*range(0, last + 1, every), last}):
        frames.keep(run, np.zeros((8, 8, 1), np.uint8), epoch)
    kept = [*run.frames]
    assert (kept[0], kept[-1]) == (0, last)
    assert len(kept) <= frames.MOST
    assert len(kept) > min(frames.MOST // 2, last // every)
    assert len(set(np.diff(kept[:-1]))) == 1  # the last one comes when it comes
    assert kept[-1] - kept[-2] <= kept[1] - kept[0]
