"""Runs through one pack leave the folders that they leave alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genray import checkpoint
from genray.data.spec import Dataset
from genray.errors import Fault, UserError
from genray.evaluation.judge import Judge, make_judge
from genray.extractors.trained import train_extractor
from genray.models.base import GenerativeModel
from genray.runs import Row, Run, create_run
from genray.train import pack
from genray.train.distributed import Distributed
from genray.train.loop import Outcome, train
from genray.train.together import Ended, Part, train_pack
from tests.train.common import experiment

Report = Callable[[Row], bool]
Parts = list[Part]
HERE = Distributed.single()


def go_on(row: Row) -> bool:
    return True


def until_2(row: Row) -> bool:
    return row["epoch"] < 2


def seeds(path: Path, *, report: Report = go_on, judge: Judge | None = None, **changes: object) -> Parts:
    """Three runs of a VAE; the last one has a KL weight, a rate and a `report` of its own, and `changes`."""
    own = [{}, {"optimizer.learning_rate": 1e-3}, {"model.kl_weight": 0.5} | changes]
    asked = [experiment(seed=seed, **{"model.dropout": 0.1} | values) for seed, values in enumerate(own)]
    runs = [create_run(path / str(e.seed), e, resume=True) for e in asked]
    return [Part(e, run, judge, report if e.seed == 2 else go_on) for e, run in zip(asked, runs, strict=True)]


def each_alone(parts: Parts, data: Dataset) -> list[Ended]:
    ended: list[Ended] = []
    for part in parts:
        given = {"judge": part.judge, "report": part.report, "saved": part.saved}
        try:
            ended.append(train(part.experiment, data.training_data, part.run, **given, distributed=HERE))
        except Fault as fault:
            ended.append(fault)
    return ended


def packed(parts: Parts, data: Dataset) -> list[Ended]:
    return train_pack(parts, data.training_data, distributed=HERE)


def untimed(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "train_seconds"}


def assert_same(found: Run, expected: Run) -> None:
    names = [
        sorted(str(p.relative_to(run.path)) for p in run.path.rglob("*") if "tfevents" not in p.name)
        for run in (found, expected)
    ]
    assert names[0] == names[1]
    assert len(found.history) == len(expected.history) > 1
    for a, b in zip(found.history, expected.history, strict=True):
        assert untimed(a) == pytest.approx(untimed(b), rel=1e-4)
    if found.checkpoint_path.exists():
        (mine, spec), (theirs, other) = (checkpoint.read(run.checkpoint_path) for run in (found, expected))
        assert spec == other
        sizes = [run.checkpoint_path.stat().st_size for run in (found, expected)]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.01)  # not the weights of all members in each
        for values in (mine, theirs):
            for key in ("train_seconds", "row", "meter", "experiment", "logged"):
                values.pop(key)
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def judge(digits: Dataset) -> Judge:
    return make_judge(train_extractor(digits.training_data), digits.validation, ("frechet", "elbo"))


@pytest.mark.slow
def test_folders_rows_scores_and_checkpoints_are_those_of_runs_alone(
    digits: Dataset, judge: Judge, tmp_path: Path
) -> None:
    """One is stopped early; the others go on."""
    expected = seeds(tmp_path / "alone", judge=judge, report=until_2)
    found = seeds(tmp_path / "packed", judge=judge, report=until_2)
    ended = packed(found, digits), each_alone(expected, digits)
    assert (
        [outcome.stopped for outcome in ended[0]] == [outcome.stopped for outcome in ended[1]] == [False, False, True]
    )
    for part, other, outcome in zip(found, expected, ended[0], strict=True):
        assert_same(part.run, other.run)
        assert outcome.row == part.run.history[-1]
        assert "validation/frechet" in outcome.row
    assert found[2].run.history[-1]["epoch"] == 2


def test_one_that_fails_leaves_what_it_leaves_alone(digits: Dataset, tmp_path: Path) -> None:
    rate = {"optimizer.learning_rate": 1e12}
    expected, found = seeds(tmp_path / "alone", **rate), seeds(tmp_path / "packed", **rate)
    ended = packed(found, digits), each_alone(expected, digits)
    assert [type(outcome) for outcome in ended[0]] == [Outcome, Outcome, Fault]
    assert str(ended[0][2]).partition(":")[0] == str(ended[1][2]).partition(":")[0]
    assert "is not finite at step" in str(ended[0][2])
    assert not found[2].run.checkpoint_path.exists()
    for part, other in zip(found[:2], expected[:2], strict=True):
        assert_same(part.run, other.run)


def test_one_whose_scores_cannot_be_had_ends_and_the_others_go_on(
    digits: Dataset, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Judge.score

    def scored(self: Judge, model: GenerativeModel, *, seed: int, **given: object) -> dict[str, float]:
        if seed == 1:
            raise UserError("too few images; take more")
        return score(self, model, seed=seed, **given)

    monkeypatch.setattr(Judge, "score", scored)
    ended = packed(seeds(tmp_path, judge=judge), digits)
    assert [type(outcome) for outcome in ended] == [Outcome, UserError, Outcome]
    assert ended[0].row["epoch"] == ended[2].row["epoch"] == 4


def test_a_pack_that_was_stopped_goes_on_bit_for_bit(digits: Dataset, tmp_path: Path) -> None:
    whole = seeds(tmp_path / "whole")
    packed(whole, digits)
    halted = seeds(tmp_path / "halted")
    stopped = packed([replace(part, report=until_2) for part in halted], digits)
    assert all(outcome.stopped for outcome in stopped)
    packed(halted, digits)
    for part, other in zip(halted, whole, strict=True):
        assert [untimed(row) for row in part.run.history] == [untimed(row) for row in other.run.history]
    told: list[Row] = []
    again = packed([replace(part, report=lambda row: told.append(row) is None) for part in halted], digits)
    assert told == [outcome.row for outcome in again] == [part.run.history[-1] for part in halted]


def test_runs_that_cannot_be_one_are_refused_before_anything_is_written(digits: Dataset, tmp_path: Path) -> None:
    parts = seeds(tmp_path, **{"model.hidden": 17})
    with pytest.raises(UserError, match=r"a pack has model\.hidden one for all, got 16 and, of member 2, 17"):
        packed(parts, digits)
    assert not any(part.run.metrics_path.exists() for part in parts)


@pytest.fixture
def rebuilt(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many members are in the rows of new tensors, each time that a pack makes some."""
    numbers: list[int] = []
    arrange = pack.Pack._arrange

    def counted(self: pack.Pack, members: list[pack.Member]) -> None:
        numbers.append(len(members))
        arrange(self, members)

    monkeypatch.setattr(pack.Pack, "_arrange", counted)
    return numbers


def with_newcomer(parts: Parts, newcomer: Part, data: Dataset) -> list[Ended]:
    """The newcomer comes where the first of them ends."""
    coming: Parts = []
    first = replace(parts[0], ended=lambda how: coming.append(newcomer))
    return train_pack(
        [first, *parts[1:]], data.training_data, distributed=HERE, more=lambda: [coming.pop()] if coming else []
    )


def test_one_that_comes_where_another_ends_takes_its_place(digits: Dataset, tmp_path: Path, rebuilt: list[int]) -> None:
    """The first place: members' order is not that in which they came. It goes on from a step of its own."""
    folders = [seeds(tmp_path / name, **{"model.kl_weight": 1.0}) for name in ("alone", "packed")]
    halted = [[replace(newcomer, report=lambda row: row["epoch"] < 2)] for _, _, newcomer in folders]
    each_alone(halted[0], digits)
    each_alone(halted[1], digits)
    expected, found = [[replace(first, report=until_2), *others] for first, *others in folders]
    ended = with_newcomer(found[:2], found[2], digits), each_alone(expected, digits)
    assert [outcome.stopped for outcome in ended[0]] == [outcome.stopped for outcome in ended[1]]
    for part, other in zip(found, expected, strict=True):
        assert_same(part.run, other.run)
    assert rebuilt == [2]


def test_one_that_comes_is_asked_whether_its_turns_are_those_of_the_next_step(
    digits: Dataset, tmp_path: Path, rebuilt: list[int]
) -> None:
    """Of a GAN whose generator moves every third step, after 36 of them."""
    changes = {"model": {"name": "gan", "hidden": 16, "latent": 4, "critic_steps": 3}, "optimizer.learning_rate": 1e-4}
    asked = [experiment(seed=seed, **changes) for seed in range(3)]

    def parts(folder: str) -> Parts:
        runs = [create_run(tmp_path / folder / str(e.seed), e, resume=True) for e in asked]
        return [Part(e, run, None, go_on if e.seed else until_2) for e, run in zip(asked, runs, strict=True)]

    found, expected = parts("packed"), parts("alone")
    with_newcomer(found[:2], found[2], digits)
    each_alone(expected, digits)
    for part, other in zip(found, expected, strict=True):
        assert_same(part.run, other.run)
    assert rebuilt == [2, 1]  # the newcomer is the last one that is left


def test_seconds_of_training_are_shared_among_members(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock on which a step of the whole pack takes a second: of three members it is a third each, and where one has
    left, a half."""
    now, update = 0, pack.Pack._update

    def counted(self: pack.Pack, kind: pack.Kind) -> list[Tensor]:
        nonlocal now
        now += 1
        return update(self, kind)

    monkeypatch.setattr(pack.Pack, "_update", counted)
    monkeypatch.setattr(pack.time, "perf_counter", lambda: float(now))
    parts = seeds(tmp_path, report=until_2)
    packed(parts, digits)
    per_epoch = len(digits.train) // 64
    assert parts[2].run.history[-1]["train_seconds"] == pytest.approx(2 * per_epoch / 3, abs=0.01)
    for part in parts[:2]:
        assert part.run.history[-1]["train_seconds"] == pytest.approx(2 * per_epoch * (1 / 3 + 1 / 2), abs=0.01)
