"""A run, its evaluation and a comparison whose process is killed between any two changes of their folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genray import checkpoint
from genray.data.spec import Dataset, Split
from genray.evaluation.evaluate import evaluate_run
from genray.evaluation.judge import Judge, make_judge
from genray.extractors.trained import train_extractor
from genray.models.base import GenerativeModel
from genray.report import compare
from genray.runs import Row, Run, create_run, open_run
from genray.train.distributed import Distributed
from genray.train.loop import train
from tests.faults import cuts
from tests.report.fabricate import write_run
from tests.train.common import experiment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # a process a cut: ten minutes beside other work
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # it forks on purpose
]
ASKED = experiment(epochs=2, evaluate_every=1, checkpoint_every=1, metrics=["frechet"])


class Norm:
    """A judge whose score is a function of the weights: each epoch's is better than the one before."""

    def score(self, model: GenerativeModel, **given: object) -> dict[str, float]:
        return {"frechet": -sum(float(p.square().sum()) for p in model.parameters())}


@pytest.fixture(scope="module")
def few(digits: Dataset) -> Dataset:
    def first(split: Split) -> Split:
        return replace(split, images=split.images[:128], labels=split.labels[:128])

    return replace(digits, train=first(digits.train), validation=first(digits.validation), test=first(digits.test))


@pytest.fixture(scope="module")
def judge(few: Dataset) -> Judge:
    return make_judge(train_extractor(few.training_data), few.test, ("class_entropy",))


def trained(path: Path, data: Dataset) -> Run:
    run = create_run(path, ASKED, resume=True)
    judge: Any = Norm()
    train(ASKED, data.training_data, run, judge=judge, report=lambda row: True, distributed=Distributed.single())
    return run


def rows(run: Run) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "train_seconds"} for row in run.history]


def weights(run: Run) -> list[torch.Tensor]:
    """Of the last checkpoint and of the best."""
    states = [checkpoint.read(path)[0] for path in (run.checkpoint_path, run.best_checkpoint_path)]
    return [tensor for state in states for part in ("model", "ema") for tensor in state[part].values()]


def seen(folder: Path) -> dict[str, bytes]:
    """What others see: hidden files are those that a kill left half-written."""
    files_ = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files_
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name != ".lock"]


def test_a_run(few: Dataset, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", few)
    for folder in cuts(lambda path: trained(path, few), lambda cut: tmp_path / f"run{cut}", at_least=60):
        resumed = trained(folder, few)
        assert rows(resumed) == rows(whole)
        assert not hidden(folder)
        events = EventAccumulator(str(folder)).Reload()
        assert [event.step for event in events.Scalars("train/elbo/loss")] == [1, 2]
        assert [event.step for event in events.Images("samples")] == [0, 1, 2]
        for mine, other in zip(weights(resumed), weights(whole), strict=True):
            assert torch.equal(mine, other)
        pictures = [name for name in seen(whole.path) if name.endswith((".png", ".webp"))]
        assert {name: seen(folder)[name] for name in pictures} == {name: seen(whole.path)[name] for name in pictures}


@pytest.mark.parametrize("evaluated", [False, True])
def test_an_evaluation(evaluated: bool, few: Dataset, judge: Judge, tmp_path: Path) -> None:
    base = trained(tmp_path / "base", few)
    if evaluated:
        evaluate_run(base, judge, {}, few)
    whole = open_run(shutil.copytree(base.path, tmp_path / "whole"))
    old, new = base.result, evaluate_run(whole, judge, {}, few)
    assert (old or {}).get("test_reads", 0) == new["test_reads"] - 1 == int(evaluated)
    for folder in cuts(
        lambda path: evaluate_run(open_run(path), judge, {}, few),
        lambda cut: shutil.copytree(base.path, tmp_path / f"run{cut}"),
        at_least=30,
    ):
        run = open_run(folder)
        assert run.result == old  # it comes last
        assert evaluate_run(run, judge, {}, few) == new
        assert run.result == new
        assert seen(folder) == seen(whole.path)


def table(page: Path) -> str:
    """What TensorBoard shows of a comparison."""
    read = EventAccumulator(str(page)).Reload()
    return [text.tensor_proto.string_val[0].decode() for text in read.Tensors("comparison/text_summary")][-1]


def test_a_comparison(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, name) for name in ("vae", "gan")]
    page, backup = tmp_path / "page", tmp_path / "backup"
    compare(runs[:1], page)
    shutil.copytree(page, backup)
    compare(runs, page)
    names = ("comparison.json", "comparison.csv", "comparison.md", "index.html")
    old, new = seen(backup), seen(page)
    assert all(old[name] != new[name] for name in names)

    def anew(cut: int) -> Path:
        shutil.rmtree(page)
        return shutil.copytree(backup, page)

    for folder in cuts(lambda path: compare(runs, path), anew, at_least=25):
        for name in names:
            assert seen(folder)[name] in (old[name], new[name]), name
        assert table(folder) in (old["comparison.md"].decode(), new["comparison.md"].decode())
        compare(runs, folder)
        assert {name: seen(folder)[name] for name in names} == {name: new[name] for name in names}
        assert len(list(folder.glob("events*"))) == 1
        assert not hidden(folder)
