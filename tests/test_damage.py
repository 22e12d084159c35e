"""Files of a run that a disk damaged, or that are another run's: the command line names each, keeps it, and goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genray import checkpoint, files
from genray.cli import main
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.models.base import build
from genray.runs import Run, create_run, open_run
from genray.train.distributed import Distributed
from genray.train.loop import train
from genray.train.trainer import make_trainer

VALUES = {"epochs": 4, "evaluate_every": 4, "checkpoint_every": 1, "metrics": []}
RESUME = ["train", "vae", "--config", "run/experiment.yaml", "--out", "run", "--resume"]
Change = Callable[[bytes], bytes]


def asked(name: str = "vae", seed: int = 0, **changes: object) -> Experiment:
    return Experiment.parse(VALUES | {"model": {"name": name, "hidden": 16} | changes, "seed": seed})


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def unkeyed(content: bytes) -> bytes:
    return content.replace(b"spec", b"spek").replace(b"format", b"fermat")


@pytest.fixture(scope="module")
def halted(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Stopped at epoch 2 of 4, with its checkpoints of 1 and 2."""
    run = create_run(tmp_path_factory.mktemp("halted") / "run", asked())
    single = Distributed.single()
    every = asked().model_copy(update={"evaluate_every": 1})
    train(every, digits.training_data, run, judge=None, report=lambda row: row["epoch"] < 2, distributed=single)
    return run


@pytest.fixture
def run(halted: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return open_run(shutil.copytree(halted.path, "run"))


def save_foreign(run: Run, data: Dataset, other: Experiment, *, tells: bool = True) -> bytes:
    state = make_trainer(other, data.training_data, Distributed.single()).state()
    state |= {"epoch": 3, "step": 27}
    checkpoint.save(run.path / "foreign" / "state.pt", state if tells else without(state, "experiment"), data.spec)
    content = (run.path / "foreign" / "state.pt").read_bytes()
    shutil.rmtree(run.path / "foreign")
    return content


def without(state: dict[str, object], *keys: str) -> dict[str, object]:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize("damage", ["cut", "flipped", "no spec", "model", "width", "seed", "old model", "old width"])
def test_checkpoint(
    damage: str, run: Run, digits: Dataset, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = run.checkpoint_path.read_bytes()
    foreign = {"model": asked("gan"), "width": asked(hidden=24), "seed": asked(seed=5)}
    if damage.removeprefix("old ") in foreign:
        other = foreign[damage.removeprefix("old ")]
        content = save_foreign(run, digits, other, tells=not damage.startswith("old "))
    else:
        content = {"cut": cut, "flipped": flipped, "no spec": unkeyed}[damage](before)
    run.checkpoint_path.write_bytes(content)
    for command in (["sample", "run", "--num", "2"], ["export", "run"], ["evaluate", "run"]):
        assert main(command) == 2
        error = capfd.readouterr().err
        assert "state.pt" in error
        assert error.count("\n") == 1, error
    if damage in foreign:
        assert {"model": "model.name", "width": "model.hidden", "seed": "seed"}[damage] in error
    assert main(RESUME) == 0
    assert str(run.checkpoint_path.relative_to(run.path)) in caplog.text
    assert run.checkpoint_path.with_name("state.pt.damaged").read_bytes() == content
    assert [row["epoch"] for row in run.history] == [0, 1, 2, 3, 4]
    assert main(["sample", "run", "--num", "2"]) == 0


def test_states_without_parts(run: Run, digits: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    state, spec = checkpoint.read(run.checkpoint_path)
    for broken in (without(state, "ema"), state | {"ema": 3}, without(state, "epoch", "ema")):
        checkpoint.save(run.checkpoint_path, broken, spec)
        assert main(["sample", "run", "--num", "2"]) == 2
        assert "ema" in capfd.readouterr().err
    trainer = make_trainer(run.experiment, digits.training_data, Distributed.single())
    for place in run.checkpoint_path.parent.glob("*.pt"):
        place.unlink()
    checkpoint.save(run.checkpoint_path, without(state, "epoch"), spec)
    assert checkpoint.latest(run.checkpoint_path, like=trainer.state()) is None


def test_a_checkpoint_that_does_not_tell_its_experiment_is_read(run: Run) -> None:
    state, spec = checkpoint.read(run.checkpoint_path)
    checkpoint.save(run.checkpoint_path, without(state, "experiment", "logged"), spec)
    assert main(["sample", "run", "--num", "2"]) == 0
    assert main(RESUME) == 0
    assert [row["epoch"] for row in run.history] == [0, 1, 2, 3, 4]
    assert not list(run.path.rglob("*.damaged"))


FOREIGN = b'{"epoch": 1, "step": 5, "train_seconds": 9.0}\n'


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda lines: [], []),
        (lambda lines: lines[:1], [0]),
        (lambda lines: [lines[0], flipped(lines[1]), lines[2]], [0, 2]),
        (lambda lines: [lines[0], FOREIGN, lines[2]], [0, 2]),
        (lambda lines: [b"{}\n", b"[" * 9 + b"\n", *lines[1:]], [1, 2]),
        (lambda lines: [lines[0], lines[0], *lines[1:]], [0, 1, 2]),
    ],
)
def test_rows(
    damage: Callable[[list[bytes]], list[bytes]], left: list[int], run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"".join(damage(run.metrics_path.read_bytes().splitlines(keepends=True)))
    run.metrics_path.write_bytes(content)
    assert main(RESUME) == 0
    assert [row["epoch"] for row in run.history] == [*left, 3, 4]
    assert FOREIGN not in run.metrics_path.read_bytes()
    if len(left) < 3:
        assert "metrics.jsonl.damaged" in caplog.text
        assert run.metrics_path.with_name("metrics.jsonl.damaged").read_bytes() == content
    else:
        assert not caplog.text


@pytest.mark.parametrize(
    ("damage", "is_told", "first"),
    [
        (lambda b: b[:-9], False, 1),
        (flipped, True, 1),
        (lambda b: b"hello world" * 50, True, 3),
        (lambda b: b"", False, 3),
    ],
)
def test_events(damage: Change, is_told: bool, first: int, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    [path] = run.path.glob("*tfevents*")
    content = damage(path.read_bytes())
    path.write_bytes(content)
    assert main(RESUME) == 0
    steps = [event.step for event in EventAccumulator(str(run.path)).Reload().Scalars("train/elbo/loss")]
    assert steps[-2:] == [3, 4]
    assert steps[0] == first
    kept = list(run.path.glob("*.damaged"))
    assert bool(kept) == (path.name in caplog.text) == is_told
    assert not kept or kept[0].read_bytes() == content


def test_a_run_is_trained_and_evaluated_by_one_process(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    before = json.dumps(run.history)
    with files.locked(run.path, "run"):
        for command in (RESUME, ["evaluate", "run"]):
            assert main(command) == 2
            error = capfd.readouterr().err
            assert "in use by another run" in error
            assert error.count("\n") == 1
    assert json.dumps(run.history) == before


def test_weights_of_another_shape_are_named(run: Run, digits: Dataset) -> None:
    own = {"ema": build(asked().model, digits.spec, 0).state_dict()}
    first = next(iter(own["ema"]))
    changed = {"ema": own["ema"] | {first: torch.zeros(3, 2)}}
    with pytest.raises(ValueError, match=rf"ema\.{first}\.shape does not fit"):
        checkpoint.require_like(run.checkpoint_path, changed, own)
