"""A metric that fails: the others stand, and result.json and the comparison say which, and why."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from genray import console, runs
from genray.config import Experiment
from genray.data.spec import Dataset, Split
from genray.errors import UserError
from genray.evaluation import attempt, evaluate
from genray.evaluation.attempt import compute_each
from genray.evaluation.floor import floor
from genray.evaluation.judge import make_judge
from genray.extractors.classifier import Classifier
from genray.metrics import class_entropy, frechet, prdc
from genray.report import comparison, tables
from tests.metrics.fakes import Replay, context
from tests.report.fabricate import collect

X = np.random.default_rng(0).normal(size=(20, 16))


def raises(error: Exception):
    def compute(context: object) -> dict[str, float]:
        raise error

    return compute


@pytest.fixture(autouse=True)
def _say_again() -> None:
    attempt._say.cache_clear()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("prdc needs 9 images, got 3; raise num_samples"), "prdc needs 9 images, got 3; raise num_samples"),
        (UserError("9 images are needed"), "prdc: 9 images are needed"),
        (
            np.linalg.LinAlgError("Singular\nmatrix"),
            "prdc: LinAlgError: Singular matrix; leave prdc out of metrics if that stays so",
        ),
        (KeyError(), "prdc: KeyError: without a message; leave prdc out of metrics if that stays so"),
    ],
)
def test_the_others_stand(monkeypatch, caplog, error: Exception, reason: str) -> None:
    monkeypatch.setattr(prdc, "compute", raises(error))
    failed: dict[str, str] = {}
    names = ("frechet", "prdc", "class_entropy")
    with caplog.at_level(logging.WARNING):
        values = compute_each(names, context(X, X), failed)
        compute_each(names, context(X, X), {})
    assert values.keys() == {"frechet", "class_entropy"}
    assert failed == dict.fromkeys(("precision", "recall", "density", "coverage"), reason)
    assert [record.message for record in caplog.records] == [f"a metric failed: {reason}"]  # once
    with pytest.raises(type(error)):
        compute_each(names, context(X, X))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_a_failure(monkeypatch, value: float) -> None:
    monkeypatch.setattr(class_entropy, "compute", lambda context: {"class_entropy": value})
    failed: dict[str, str] = {}
    assert compute_each(("class_entropy", "frechet"), context(X, X), failed).keys() == {"frechet"}
    expected = f"class_entropy: class_entropy must be finite, got {value}; look at the samples, or leave"
    assert failed["class_entropy"].startswith(expected)


def test_features_that_are_not_finite_fail_where_they_matter() -> None:
    bad = X.copy()
    bad[3] = np.nan
    failed: dict[str, str] = {}
    model, split = Replay(np.zeros((9, 1, 8, 8), np.uint8)), Split(np.zeros((20, 1, 8, 8), np.uint8))
    given = context(X, bad, model=model, split=split)
    assert compute_each(("frechet", "prdc", "elbo"), given, failed).keys() == {"elbo"}
    reason = "needs finite features, got NaN or infinity in those of 1 of 20 samples; look at the feature network"
    assert failed["frechet"] == f"frechet {reason}"
    assert failed["precision"] == f"prdc {reason}"


def test_a_distance_of_nan_is_not_zero() -> None:
    with pytest.raises(UserError, match="frechet needs finite features"):
        compute_each(("frechet",), context(np.full_like(X, np.inf), X))


@pytest.fixture
def few(digits: Dataset, extractor: Classifier):
    """A judge of 50 test images, too few for one of its metrics."""
    return make_judge(extractor, Split(digits.test.images[:50]), ("frechet", "fd_infinity"))


def test_the_floor_is_without_it(few, digits: Dataset) -> None:
    assert floor(few, digits.train, draws=2).keys() == {"frechet"}


def test_the_result_and_the_comparison_say_why(tmp_path: Path, few, digits: Dataset, monkeypatch) -> None:
    monkeypatch.setattr(evaluate, "load", lambda path, device: Replay(digits.train.images))
    paths = []
    for seed in (0, 1):
        run = runs.create_run(tmp_path / str(seed), Experiment.parse({"model": {"name": "vae"}, "seed": seed}))
        run.metrics_path.write_text(json.dumps({"epoch": 60, "train_seconds": 12.5}) + "\n")
        result = evaluate.evaluate_run(run, few, {}, digits)
        paths.append(run.path)
    reason = "fd_infinity needs at least 66 images of each kind for 32 features, got 50"
    assert result["metrics"].keys() == {"frechet"}
    assert result["failed"].keys() == {"fd_infinity"}
    assert result["failed"]["fd_infinity"].startswith(reason)
    assert f"failed: {reason}" in console.result(run.path, result)

    found = comparison.build(collect(paths))
    (row,) = found["rows"]
    assert row["failed"] == result["failed"]
    assert any(note.startswith(f"vae: fd_infinity failed: {reason}") for note in found["notes"])
    assert tables.plain(reason) in tables.markdown(found)


def test_a_table_shows_failed_where_other_rows_have_a_value() -> None:
    row = {"label": "vae", "failed": {}, "metrics": {"frechet": {"mean": 1.0, "ci95": 0.1}}}
    rows = [row | {"config": {"model": {}}}, {"label": "gan", "failed": {"frechet": "a reason"}, "metrics": {}}]
    shown = tables.grid({"rows": rows, "controls": [], "floor": {}, "primary": "frechet"})
    assert [cells[0].text for cells in shown.cells] == ["1.00 ± 0.10", tables.FAILED, tables.NONE]


def test_during_training_it_is_left_out_of_the_row(tmp_path: Path, digits: Dataset, monkeypatch) -> None:
    from genray.train.distributed import Distributed
    from genray.train.loop import train

    monkeypatch.setattr(frechet, "compute", raises(RuntimeError("it failed")))
    experiment = Experiment.parse({"epochs": 1, "model": {"name": "vae", "hidden": 8}, "metrics": ["frechet", "prdc"]})
    judge = make_judge(FewFeatures(), digits.validation, experiment.metrics)
    run = runs.create_run(tmp_path / "run", experiment)
    outcome = train(
        experiment, digits.training_data, run, judge=judge, report=lambda row: True, distributed=Distributed.single()
    )
    assert "validation/precision" in outcome.row
    assert "validation/frechet" not in outcome.row


class FewFeatures:
    """In place of an extractor: means of an image's rows."""

    @property
    def classifier(self):
        return self

    def features(self, images, device="cpu"):
        from tests.metrics.fakes import features

        return features(np.asarray(images, np.float32).mean((1, 3)) / 255)
