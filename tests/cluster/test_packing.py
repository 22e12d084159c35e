"""Several runs in one process, without Ray."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genray.claim import Claim, Superseded, Turn
from genray.cluster import packing
from genray.cluster.packing import do_all
from genray.cluster.place import Elsewhere, SameFolder, Workspace
from genray.cluster.work import Final, Means, Shared, Task, do
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.errors import Fault
from genray.evaluation.judge import Judge, make_judge
from genray.extractors.trained import extractor_for
from genray.models.vae import Model
from genray.runs import Row, open_run
from genray.storage import Disk
from genray.train.distributed import Distributed
from genray.train.loop import Outcome
from genray.train.together import Ended, Part

HERE = Distributed.single()
ASKED = {"epochs": 3, "evaluate_every": 1, "checkpoint_every": 1, "batch_size": 64, "metrics": ["frechet"]}


@pytest.fixture(scope="module")
def judges(digits: Dataset) -> list[Judge]:
    extractor = extractor_for(digits.training_data)
    return [make_judge(extractor, split, ASKED["metrics"]) for split in (digits.validation, digits.test)]


class Played:
    """Seeds 1 to 3 as finalists, below one folder."""

    def __init__(self, out: Path, digits: Dataset, judges: list[Judge]) -> None:
        self.out, self.shared = out, Shared(SameFolder(out), digits.training_data, judges[0])
        self.given = Final(judges[1], {}, digits)
        self.told: list[tuple[str, object]] = []  # epochs of rows, and how runs have ended

    def task(self, seed: int, **changes: object) -> Task:
        model = {"name": "vae", "hidden": 16}
        return Task(f"vae/{seed}", Experiment.parse(ASKED | {"model": model, "seed": seed} | changes), finalist=True)

    @property
    def means(self) -> Means:
        return Means(self.shared, lambda: self.given, HERE)

    def report(self, run: str, row: Row) -> bool:
        self.told.append((run, row["epoch"]))
        return True

    def end(self, run: str, how: Ended) -> None:
        self.told.append((run, how.row if isinstance(how, Outcome) else how))

    def do_all(self, *tasks: Task) -> dict[str, object]:
        do_all(tasks, self.means, self.report, self.end)
        return {run: how for run, how in self.told if not isinstance(how, int | float)}

    def alone(self, task: Task) -> None:
        do(task, self.means, lambda row: True)

    def metrics(self, seed: int) -> dict[str, float]:
        result = open_run(self.out / "vae" / str(seed)).result
        assert result is not None
        assert result["test_reads"] == 1
        metrics: dict[str, float] = result["metrics"]
        return metrics


def test_runs_that_can_be_one_go_side_by_side_and_score_as_alone(
    tmp_path: Path, digits: Dataset, judges: list[Judge]
) -> None:
    packed, alone = Played(tmp_path / "packed", digits, judges), Played(tmp_path / "alone", digits, judges)
    ended = packed.do_all(*(packed.task(seed) for seed in (1, 2, 3)))
    epochs = [told for told in packed.told if not isinstance(told[1], dict)]
    assert epochs == [(f"vae/{seed}", epoch) for epoch in (1, 2, 3) for seed in (1, 2, 3)]
    for seed in (1, 2, 3):
        alone.alone(alone.task(seed))
        assert packed.metrics(seed) == pytest.approx(alone.metrics(seed), rel=1e-3)
        assert ended[f"vae/{seed}"] == open_run(packed.out / "vae" / str(seed)).history[-1]


def test_those_that_cannot_join_a_pack_are_the_next(
    tmp_path: Path, digits: Dataset, judges: list[Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a model that grows, whose pack takes nobody in: for each that ends another one comes."""
    played, packs = Played(tmp_path, digits, judges), list[list[int]]()

    def train_pack(parts: list[Part], *given: object, more: Callable[[], list[Part]], **named: object) -> None:
        packs.append([part.experiment.seed for part in parts])
        for part in parts:
            part.ended(Outcome({"epoch": 3}, stopped=True))
            more()

    coming, inbox = [played.task(seed) for seed in range(5, 13)], list[Task]()

    def end(run: str, how: Ended) -> None:
        inbox.extend(coming[:1])
        del coming[:1]

    def more() -> list[Task]:
        taken, inbox[:] = inbox[:], []
        return taken

    monkeypatch.setattr(packing, "train_pack", train_pack)
    monkeypatch.setattr(packing, "do", lambda task, *given: packs.append([task.experiment.seed]) or Outcome({}, True))
    do_all([played.task(seed) for seed in (1, 2, 3, 4)], played.means, played.report, end, more)
    assert sorted(seed for pack in packs for seed in pack) == list(range(1, 13))
    assert packs[0] == [1, 2, 3, 4]
    assert len(packs[1]) >= 3, packs


def test_the_last_end_is_told_when_nothing_of_the_job_is_watched_any_more(
    tmp_path: Path, digits: Dataset, judges: list[Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process has one watch: what ends late would take that of the next job along."""
    played = Played(tmp_path, digits, judges)

    @contextmanager
    def watched(report: packing.Report, timeout_s: float | None) -> Iterator[packing.Report]:
        yield report
        played.told.append(("watch", timeout_s))

    monkeypatch.setattr(packing, "watched", watched)
    played.shared = replace(played.shared, timeout_s=100.0)
    played.do_all(played.task(1), played.task(2))
    assert [run for run, how in played.told if not isinstance(how, int)] == ["vae/1", "watch", "vae/2"]
    assert ("watch", 200.0) in played.told


def test_one_whose_loss_is_not_finite_is_told_at_once_and_the_others_go_on(
    tmp_path: Path, digits: Dataset, judges: list[Judge]
) -> None:
    played = Played(tmp_path, digits, judges)
    ended = played.do_all(played.task(1), played.task(2, optimizer={"learning_rate": 1e30}), played.task(3))
    assert isinstance(ended["vae/2"], Fault)
    assert "not finite" in str(ended["vae/2"])
    assert played.told.index(("vae/2", ended["vae/2"])) < played.told.index(("vae/1", 2))
    assert not open_run(tmp_path / "vae" / "2").result_path.exists()
    assert played.metrics(1).keys() == played.metrics(3).keys() == {"frechet"}


def test_runs_whose_losses_cannot_be_stacked_are_done_one_after_the_other(
    tmp_path: Path,
    digits: Dataset,
    judges: list[Judge],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Model, "branch", lambda self: None)
    packed, alone = Played(tmp_path / "packed", digits, judges), Played(tmp_path / "alone", digits, judges)
    with caplog.at_level(logging.INFO, packing.__name__):
        packed.do_all(*(packed.task(seed) for seed in (1, 2)))
    [record] = caplog.records
    assert record.getMessage().startswith("vae/1, vae/2 are done one after the other: a pack needs a model whose")
    assert [run for run, _ in packed.told] == ["vae/1"] * 4 + ["vae/2"] * 4
    for seed in (1, 2):
        alone.alone(alone.task(seed))
        assert packed.metrics(seed) == alone.metrics(seed)


def test_where_memory_is_enough_for_one_alone_each_is_done_alone(
    tmp_path: Path, digits: Dataset, judges: list[Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(packing, "train_pack", out_of_memory)
    played = Played(tmp_path, digits, judges)
    assert list(played.do_all(played.task(1), played.task(2))) == ["vae/1", "vae/2"]
    assert played.metrics(1) != played.metrics(2)


def test_what_a_storage_does_not_take_ends_the_job_and_no_run(
    tmp_path: Path, digits: Dataset, judges: list[Judge]
) -> None:
    class Full(SameFolder):
        @contextmanager
        def open(self, run: str, *, rank: int = 0, turn: Turn | None = None) -> Iterator[Workspace]:
            def keep() -> None:
                if run == "vae/2":
                    raise OSError("no such host")

            with super().open(run) as (path, _):
                yield Workspace(path, keep)

    played = Played(tmp_path, digits, judges)
    played.shared = Shared(Full(tmp_path), digits.training_data, judges[0])
    with pytest.raises(OSError, match="no such host"):
        played.do_all(played.task(1), played.task(2))
    assert played.told == [("vae/1", 1)]


def test_files_of_each_are_kept_before_its_end_is_told(
    tmp_path: Path, digits: Dataset, judges: list[Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRAY_SCRATCH", str(tmp_path))
    played = Played(tmp_path / "kept", digits, judges)
    played.shared = Shared(Elsewhere(Disk(tmp_path), "kept"), digits.training_data, judges[0])
    kept: dict[str, int] = {}

    def end(run: str, how: Ended) -> None:
        kept[run] = len(open_run(played.out / run).history)

    monkeypatch.setattr(played, "end", end)
    played.do_all(played.task(1), played.task(2, optimizer={"learning_rate": 1e30}), played.task(3))
    assert kept == {"vae/1": 4, "vae/2": 1, "vae/3": 4}, "rows: of the untrained model, and three epochs"
    assert played.metrics(1) != played.metrics(3)
    assert not list(tmp_path.glob("genray-*/scratch-*")), "nothing is left on the machine's own disk"


def test_one_that_was_given_to_another_process_ends_the_job_and_no_run(
    tmp_path: Path, digits: Dataset, judges: list[Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRAY_SCRATCH", str(tmp_path))
    played = Played(tmp_path / "kept", digits, judges)
    played.shared = Shared(Elsewhere(Disk(tmp_path), "kept"), digits.training_data, judges[0])

    def claimed(run: str, row: Row) -> bool:
        Claim(Disk(tmp_path), "kept/vae/2")
        return True

    monkeypatch.setattr(played, "report", claimed)
    with pytest.raises(Superseded):
        played.do_all(played.task(1), played.task(2))
    assert played.told == []


def test_a_run_that_joins_others_scores_as_alone(tmp_path: Path, digits: Dataset, judges: list[Judge]) -> None:
    """One while they train, one of other shapes that is done after them, and one where all have ended."""
    packed, alone = Played(tmp_path / "packed", digits, judges), Played(tmp_path / "alone", digits, judges)
    waiting = [[packed.task(3)], [packed.task(4, model={"name": "vae", "hidden": 12})], [], []]

    def more() -> list[Task]:
        if waiting:
            return waiting.pop(0)
        left = len([told for told in packed.told if isinstance(told[1], dict)]) == 3 and not late
        return [late.append(5) or packed.task(5)] if left else []

    late: list[int] = []
    do_all([packed.task(1), packed.task(2)], packed.means, packed.report, packed.end, more)
    ended = [run for run, how in packed.told if isinstance(how, dict)]
    assert sorted(ended) == [f"vae/{seed}" for seed in (1, 2, 3, 4, 5)]
    for task in [*map(alone.task, (1, 2, 3, 5)), alone.task(4, model={"name": "vae", "hidden": 12})]:
        alone.alone(task)
    for seed in (1, 2, 3, 4, 5):
        assert packed.metrics(seed) == pytest.approx(alone.metrics(seed), rel=1e-3)
