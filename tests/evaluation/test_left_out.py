"""A metric that does not apply has a reason in place of a score: in the result, on the console, in the comparison."""

import json
import logging
from pathlib import Path

import pytest

from genray import console, metrics, models, runs
from genray.config import Experiment
from genray.data.spec import Dataset, DataSpec, Split
from genray.evaluation import attempt, evaluate
from genray.evaluation.attempt import left_out
from genray.evaluation.judge import Judge, make_judge, training_features
from genray.extractors import network
from genray.extractors.classifier import Classifier
from genray.metrics import ais, ais_gaussian, importance_bound
from genray.models.base import GenerativeModel
from genray.report import compare
from genray.train.distributed import Distributed
from genray.train.loop import train
from tests.metrics.fakes import SampleOnly
from tests.models.steps import make

ALL = tuple(metrics.names())
NAMED = ["frechet", "importance_bound", "elbo", "transfer_accuracy", "ais"]  # of which a GAN has the first
REASONS = {
    "importance_bound": "needs a posterior q(z|x) and a likelihood p(x|z), which gan does not have",
    "elbo": "needs a likelihood, which gan does not have",
    "transfer_accuracy": "needs samples of a given label, which gan does not have",
    "ais": "needs a posterior q(z|x) and a likelihood p(x|z) of Gaussian codes, which gan does not have",
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ais, "NUM_TEMPERATURES", 3)
    for module in (ais, ais_gaussian):
        monkeypatch.setattr(module, "MAX_IMAGES", 5)
    monkeypatch.setattr(importance_bound, "NUM_DRAWS", 5)
    monkeypatch.setattr(network, "MIN_STEPS", 5)
    attempt._say.cache_clear()


def experiment(model: str, names: object = None) -> Experiment:
    return Experiment.parse(
        {"model": {"name": model, "hidden": 8}, "epochs": 5} | ({"metrics": names} if names else {})
    )


def judge_of(extractor: Classifier, digits: Dataset, names: tuple[str, ...], *, labels: bool = True) -> Judge:
    """80 images, of which every metric has a value."""
    split = Split(digits.test.images[:80], digits.test.labels[:80] if labels else None)
    train = Split(digits.train.images[:300], digits.train.labels[:300])
    return make_judge(extractor, split, names, train=training_features(extractor, train, names), tuning=digits.train)


def model_of(name: str, digits: Dataset) -> GenerativeModel:
    model = make(name, hidden=8)
    model.observe(digits.train)
    return model


@pytest.mark.parametrize("name", models.names())
def test_every_metric_has_a_score_of_every_model_or_says_what_it_lacks(
    extractor: Classifier, digits: Dataset, name: str
) -> None:
    judge = judge_of(extractor, digits, ALL)
    scores = judge.score(model_of(name, digits), seed=0)
    reasons = left_out(experiment(name, ALL), scores, judge.split, ("prior",))
    for metric in ALL:
        found = metrics.load(metric).SCORES.keys() & scores.keys()
        assert bool(found) is (metric not in reasons), metric
        if metric in reasons:
            assert reasons[metric] == f"needs {metrics.load(metric).NEEDS}, which {name} does not have"


def test_where_labels_are_missing_the_dataset_lacks_them(extractor: Classifier, digits: Dataset) -> None:
    judge = judge_of(extractor, digits, ALL, labels=False)
    scores = judge.score(model_of("vae", digits), seed=0)
    reasons = left_out(experiment("vae", ALL), scores, judge.split, ("prior",))
    unlabelled = {name for name, reason in reasons.items() if reason == "needs labels, which digits does not have"}
    assert unlabelled == {
        "class_entropy",
        "class_score",
        "coherence",
        "conditional_accuracy",
        "modes",
        "transfer_accuracy",
    }


def test_only_what_is_named_is_missed(digits: Dataset) -> None:
    assert left_out(experiment("gan"), {"frechet"}, digits.test, ("prior",)) == {}
    assert left_out(experiment("gan", NAMED), {"frechet"}, digits.test, ("prior",)) == REASONS
    failed = {"frechet", *metrics.load("ais").SCORES}  # which has a reason already
    assert left_out(experiment("gan", NAMED), failed, digits.test, ("prior",)).keys() == REASONS.keys() - {"ais"}


def test_scores_of_the_model_where_it_is_not_sampled_from_its_prior(digits: Dataset) -> None:
    asked = experiment("vae", ["frechet", "elbo"])
    reason = "judges a model, not samples from gmm; name prior in sampled_from too"
    assert left_out(asked, {"frechet"}, digits.test, ("gmm",)) == {"elbo": reason}


def evaluated(path: Path, judge: Judge, digits: Dataset, asked: Experiment) -> tuple[Path, dict[str, object]]:
    run = runs.create_run(path, asked)
    run.metrics_path.write_text(json.dumps({"epoch": 5, "train_seconds": 12.5}) + "\n")
    return run.path, evaluate.evaluate_run(run, judge, {}, digits)


def test_the_result_the_console_the_comparison_and_the_page_say_why(
    tmp_path: Path, extractor: Classifier, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "load", lambda path, device: model_of("gan", digits))
    judge = judge_of(extractor, digits, tuple(NAMED))
    path, result = evaluated(tmp_path / "run", judge, digits, experiment("gan", NAMED))
    assert result["metrics"].keys() == {"frechet"}
    assert result["left_out"] == json.loads((path / "result.json").read_text())["left_out"] == REASONS
    assert f"left out: elbo {REASONS['elbo']}\n" in console.result(path, result)

    found = compare([path], tmp_path / "out", controls=False)
    assert found["rows"][0]["left_out"] == REASONS
    assert f"gan: elbo left out: {REASONS['elbo']}." in found["notes"]
    for name in ("comparison.json", "comparison.md", "index.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "elbo left out: needs a likelihood, which gan does not have" in text.replace("\\", "")


def test_by_default_nothing_is_missed(
    tmp_path: Path, extractor: Classifier, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "load", lambda path, device: model_of("gan", digits))
    asked = experiment("gan")
    path, result = evaluated(tmp_path / "run", judge_of(extractor, digits, asked.metrics), digits, asked)
    assert result["left_out"] == {}
    assert "left out" not in console.result(path, result)


def test_training_says_it_once(tmp_path: Path, extractor: Classifier, digits: Dataset, caplog) -> None:
    asked = experiment("gan", ["frechet", "elbo"])  # evaluated before the first epoch, and after the fifth
    run = runs.create_run(tmp_path / "run", asked)
    judge = judge_of(extractor, digits, asked.metrics)
    with caplog.at_level(logging.WARNING):
        here = Distributed.single()
        train(asked, digits.training_data, run, judge=judge, report=lambda row: True, distributed=here)
    assert [record.message for record in caplog.records] == [
        "elbo is left out: it needs a likelihood, which gan does not have"
    ]


def test_a_model_that_samples_alone_has_a_reason_for_each_metric_of_a_model(
    extractor: Classifier, digits: Dataset
) -> None:
    judge = judge_of(extractor, digits, ALL)
    scores = judge.score(SampleOnly(DataSpec(1, 8, 8, 10)), seed=0)
    reasons = left_out(experiment("gan", ALL), scores, judge.split, ("prior",))
    assert reasons.keys() == {name for name in ALL if not metrics.judges_samples(name)}
