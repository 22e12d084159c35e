import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genray import console, metrics, runs
from genray.config import Experiment
from genray.data.spec import Dataset, Split
from genray.errors import Fault, UserError
from genray.evaluation import evaluate
from genray.evaluation.attempt import SAMPLES
from genray.evaluation.evaluate import evaluate_run
from genray.evaluation.floor import floor, summarize
from genray.evaluation.judge import Judge, draw, make_judge, training_features
from genray.extractors.classifier import Classifier
from genray.files import is_sealed
from genray.metrics import ais, importance_bound
from genray.report import comparison
from genray.result import refuse_damaged
from tests.metrics.fakes import Replay, SampleOnly
from tests.report.fabricate import collect

SAMPLE_METRICS = ("class_entropy", "frechet", "kernel", "prdc")
ALL = (*SAMPLE_METRICS, "elbo", "reconstruction")
# That an experiment has only where it names them.
OPTIONAL = {"ais", "ais_gaussian", "importance_bound", "modes", "ms_ssim", "parzen", "swd", "transfer_accuracy"}


@pytest.fixture(scope="module")
def judge(extractor: Classifier, digits: Dataset) -> Judge:
    return make_judge(extractor, digits.validation, ALL)


def test_every_metric_says_what_its_scores_are(judge: Judge, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract of genray/metrics/*.py: `compute` gives the keys of `SCORES`, finite, and each key once."""
    for metric, cost in ((ais, "NUM_TEMPERATURES"), (importance_bound, "NUM_DRAWS")):
        monkeypatch.setattr(metric, cost, 10)
    model = Replay(digits.train.images)
    keys = [key for name in metrics.names() for key in metrics.load(name).SCORES]
    assert len(set(keys)) == len(keys)
    assert set(metrics.scores()) == set(keys)
    for name in metrics.names():
        train = training_features(judge.extractor, digits.train, (name,))
        alone = make_judge(judge.extractor, judge.split, (name,), train=train, tuning=digits.train)
        values = alone.score(model, seed=0)
        assert values.keys() == metrics.load(name).SCORES.keys()
        assert all(isinstance(value, float) and np.isfinite(value) for value in values.values())


def test_the_default_metrics_of_an_experiment_are_all_but_a_few() -> None:
    default = Experiment.model_fields["metrics"].default
    assert set(default) <= set(metrics.names())
    assert set(metrics.names()) - set(default) == OPTIONAL


def test_training_images_score_far_better_than_noise(judge: Judge, digits: Dataset) -> None:
    random = np.random.default_rng(0)
    real = judge.score(Replay(digits.train.images), seed=0)
    noise = judge.score(Replay(random.integers(0, 256, digits.train.images.shape, np.uint8)), seed=0)
    assert real["frechet"] * 10 < noise["frechet"]
    assert real["kernel"] * 10 < noise["kernel"]
    assert real["precision"] > 0.9 > 0.3 > noise["precision"]
    assert real["coverage"] > 0.7 > 0.2 > noise["coverage"]


def test_a_model_that_dropped_classes_has_less_entropy_and_recall(judge: Judge, digits: Dataset) -> None:
    some = digits.train.images[digits.train.labels < 3]
    scores, whole = judge.score(Replay(some), seed=0), judge.score(Replay(digits.train.images), seed=0)
    assert scores["class_entropy"] == pytest.approx(np.log(3), abs=0.1)
    assert scores["recall"] < 0.6 * whole["recall"]
    assert scores["precision"] > 0.9


def test_the_seed_decides_a_score_and_nothing_else_is_drawn(judge: Judge, digits: Dataset) -> None:
    state = torch.get_rng_state()
    first = judge.score(Replay(digits.train.images), seed=3)
    assert judge.score(Replay(digits.train.images), seed=3) == first
    assert judge.score(Replay(digits.train.images), seed=4) != first
    assert torch.equal(state, torch.get_rng_state())


def test_a_pickled_judge_scores_the_same(judge: Judge, digits: Dataset) -> None:
    model = Replay(digits.train.images)
    assert pickle.loads(pickle.dumps(judge)).score(model, seed=0) == judge.score(model, seed=0)  # our own


def test_models_are_scored_in_evaluation_mode_and_put_back(judge: Judge, digits: Dataset) -> None:
    model = Replay(digits.train.images).train()
    judge.score(model, seed=0)
    assert set(model.modes) == {(False, False)}
    assert model.training


def test_samples_are_drawn_in_chunks_that_differ(digits: Dataset) -> None:
    model = Replay(digits.train.images)
    chunks = list(draw(model.sample, 2_100, seed=0))
    assert [len(chunk) for chunk in chunks] == [1_000, 1_000, 100]
    assert model.largest == 1_000
    assert chunks[0].dtype == np.uint8
    assert (chunks[0] != chunks[1]).any()
    np.testing.assert_array_equal(np.concatenate(list(draw(model.sample, 2_100, seed=0))), np.concatenate(chunks))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_a_fault(judge: Judge, digits: Dataset, value: float) -> None:
    with pytest.raises(Fault, match="samples must be finite, got 270 of 270 with NaN or infinity"):
        judge.score(SampleOnly(digits.spec, value), seed=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_where_samples_are_not_finite_the_models_own_scores_stand(
    judge: Judge, digits: Dataset, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Replay(digits.train.images, value=0.5)
    expected = judge.score(model, seed=0)
    model.images = torch.full_like(model.images, value)
    failed: dict[str, str] = {}
    scores = judge.score(model, seed=0, failed=failed)
    assert scores == {key: expected[key] for key in ("elbo", "reconstruction")}
    reason = "samples must be finite, got 270 of 270 with NaN or infinity; lower optimizer.learning_rate"
    by_key = {key: name for name in SAMPLE_METRICS for key in metrics.load(name).SCORES}
    assert failed == {SAMPLES: reason} | {key: f"{name}: {reason}" for key, name in by_key.items()}


@pytest.mark.parametrize("name", [name for name in metrics.names() if not metrics.judges_samples(name)])
def test_no_score_of_a_model_takes_what_is_not_finite_for_images(
    extractor: Classifier, digits: Dataset, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both views would be of the same class, NaN's; rounded to 8 bits it is black."""
    for metric, cost in ((ais, "NUM_TEMPERATURES"), (importance_bound, "NUM_DRAWS")):
        monkeypatch.setattr(metric, cost, 10)
    model, failed = Replay(digits.train.images), dict[str, str]()
    model.images = torch.full_like(model.images, torch.nan)
    scores = make_judge(extractor, digits.validation, (name,)).score(model, seed=0, failed=failed)
    if name in ("coherence", "conditional_accuracy", "transfer_accuracy"):
        assert failed[next(iter(metrics.load(name).SCORES))].startswith(f"{name}: samples must be finite, got ")
    draws = {"coherence", "completion", "conditional_accuracy", "transfer_accuracy"}
    assert scores.keys() == (set() if name in draws else metrics.load(name).SCORES.keys())
    assert all(np.isfinite(score) for score in scores.values())


def test_a_constant_model_is_scored(judge: Judge, digits: Dataset) -> None:
    scores = judge.score(SampleOnly(digits.spec), seed=0)
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["recall"] == 0
    assert "elbo" not in scores


def test_the_number_of_samples(extractor: Classifier, digits: Dataset) -> None:
    assert make_judge(extractor, digits.test, ("frechet",)).num_samples == 359
    assert make_judge(extractor, digits.test, ("frechet",), 50).num_samples == 50
    many = Split(np.zeros((10_001, 1, 8, 8), np.uint8))
    assert make_judge(extractor, many, ("frechet",)).num_samples == 10_000


def test_an_unknown_metric_is_refused_with_the_nearest(extractor: Classifier, digits: Dataset) -> None:
    with pytest.raises(UserError, match="'frechett' is not a metric; did you mean 'frechet'"):
        make_judge(extractor, digits.test, ("frechett",))


@pytest.mark.parametrize(
    ("metric", "needed"), [("frechet", 2), ("kernel", 4), ("prdc", 6), ("class_entropy", 1), ("elbo", 1)]
)
def test_too_few_images_are_refused_before_anything_is_drawn(
    extractor: Classifier, digits: Dataset, metric: str, needed: int
) -> None:
    few = Split(digits.test.images[:needed])
    scores = make_judge(extractor, few, (metric,)).score(Replay(digits.train.images), seed=0)
    assert all(np.isfinite(value) for value in scores.values())
    if needed > 1:
        with pytest.raises(UserError, match=f"{metric} needs at least {needed} samples, got {needed - 1}; raise num_s"):
            make_judge(extractor, digits.test, (metric,), needed - 1)
        with pytest.raises(UserError, match=f"{metric} needs at least {needed} real images, got {needed - 1}"):
            make_judge(extractor, Split(digits.test.images[: needed - 1]), (metric,), 100)


def test_the_floor_is_what_training_images_score(extractor: Classifier, digits: Dataset) -> None:
    judge = make_judge(extractor, digits.test, ALL)
    summary = floor(judge, digits.train, draws=3)
    assert set(summary) == {key for name in SAMPLE_METRICS for key in metrics.load(name).SCORES}
    frechet = summary["frechet"]
    values = np.array(frechet["values"])
    assert len(set(values)) == 3
    assert frechet["mean"] == pytest.approx(values.mean())
    assert frechet["ci95"] == pytest.approx(
        4.302653 * values.std(ddof=1) / 3**0.5
    )  # Student's t, 2 degrees, from a table
    index = np.sort(np.random.default_rng(0).permutation(len(digits.train))[:359])
    again = judge.score(InOrder(digits.train.images[index]), seed=0)
    assert again["frechet"] == pytest.approx(values[0])


class InOrder(SampleOnly):
    """Gives its images one after the other, once."""

    def __init__(self, images: np.ndarray) -> None:
        torch.nn.Module.__init__(self)
        self.images = torch.tensor(images).float() / 127.5 - 1

    def sample(self, n, noise, *, label=None):
        given, self.images = self.images[:n], self.images[n:]
        return given


@pytest.fixture
def run(tmp_path: Path, digits: Dataset, monkeypatch) -> runs.Run:
    """A run folder with a row of history; loading its model gives a `Replay` of training images."""
    experiment = Experiment.parse({"model": {"name": "vae"}, "seed": 7})
    run = runs.create_run(tmp_path / "run", experiment)
    run.metrics_path.write_text(json.dumps({"epoch": 0, "train_seconds": 0.0}) + "\n")
    with run.metrics_path.open("a") as file:
        file.write(json.dumps({"epoch": 60, "train_seconds": 12.5}) + "\n")
    monkeypatch.setattr(evaluate, "load", lambda path, device: Replay(digits.train.images, value=1.0))
    return run


def test_a_run_whose_samples_are_not_finite_has_the_models_own_scores_and_no_others(
    run: runs.Run, extractor: Classifier, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Replay(digits.train.images, value=1.0)
    model.images[::7] = torch.nan
    monkeypatch.setattr(evaluate, "load", lambda path, device: model)
    result = evaluate_run(run, make_judge(extractor, digits.test, ALL), {}, digits)
    assert result["metrics"].keys() == {"elbo", "reconstruction"}
    assert "frechet: samples must be finite, got " in console.result(run.path, result)
    found = comparison.build(collect([run.path]))
    assert found["rows"][0]["metrics"].keys() == {"elbo", "reconstruction"}
    assert any(note.startswith("vae: samples failed: samples must be finite, got ") for note in found["notes"])


def test_a_runs_result(run: runs.Run, extractor: Classifier, digits: Dataset) -> None:
    judge = make_judge(extractor, digits.test, ALL)
    result = evaluate_run(run, judge, {"frechet": {"mean": 1.0, "ci95": 0.1, "values": [1.0]}}, digits)
    assert json.loads(run.result_path.read_text()) == result
    assert is_sealed(run.result)
    refuse_damaged(run, result)
    contract = {
        "split": "test",
        "sampled_from": "prior",
        "num_samples": 359,
        "num_parameters": 0,
        "train_seconds": 12.5,
        "test_reads": 1,
        "dataset": "digits",
        "fingerprint": digits.fingerprint,
        "seed": 7,
        "device": "cpu",
    }
    assert {key: result[key] for key in contract} == contract
    assert Experiment.parse(result["experiment"]) == run.experiment
    assert result["metrics"] == judge.score(Replay(digits.train.images, value=1.0), seed=7)
    assert result["metric_versions"] == dict.fromkeys(result["metrics"], 1)
    assert result["extractor"]["name"] == "digits-cnn32@1"
    assert result["extractor"]["hash"] == extractor.hash
    assert result["floor"]["frechet"]["mean"] == 1.0
    assert {"python", "torch", "ray", "optuna", "genray"} <= result["versions"].keys()


def test_each_evaluation_counts_as_a_reading_of_the_test_split(run: runs.Run, extractor, digits: Dataset) -> None:
    judge = make_judge(extractor, digits.test, ("class_entropy",))
    reads = [evaluate_run(run, judge, {}, digits)["test_reads"] for _ in range(3)]
    assert reads == [1, 2, 3]
    for damaged in ("{", '{"test_reads": "x"}'):  # which tells of one
        run.result_path.write_text(damaged)
        assert evaluate_run(run, judge, {}, digits)["test_reads"] == 2


def read_png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_pictures_of_a_run(run: runs.Run, extractor: Classifier, digits: Dataset) -> None:
    evaluate_run(run, make_judge(extractor, digits.test, ("class_entropy",)), {}, digits)
    samples, real, pixels = (read_png(run.path / f"{name}.png") for name in ("samples", "real", "reconstructions"))
    side = 10 * (32 + 2) - 2
    assert (samples.shape, real.shape) == ((side, side),) * 2
    assert pixels.shape == (6 * (32 + 2) - 2, side)  # 30 images in rows of ten, each over its reconstruction
    assert (pixels[34:66, :32] == 255).all()  # the second row is what `Replay` makes of the first: white
    np.testing.assert_array_equal(pixels[:32, :32], real[:32, :32])
    np.testing.assert_array_equal(real[:32:4, :32:4], digits.test.images[0, 0])


def test_models_that_do_not_reconstruct_have_no_such_picture(
    run: runs.Run, extractor: Classifier, digits: Dataset, monkeypatch
) -> None:
    monkeypatch.setattr(evaluate, "load", lambda path, device: SampleOnly(digits.spec))
    evaluate_run(run, make_judge(extractor, digits.test, ("class_entropy",)), {}, digits)
    assert not (run.path / "reconstructions.png").exists()


def test_a_floor_of_all_training_images_is_one_draw(extractor: Classifier, digits: Dataset) -> None:
    """Five of the same images would look as if the floor were exact."""
    judge = make_judge(extractor, digits.test, ("frechet",))
    few = replace(digits.train, images=digits.train.images[:200], labels=digits.train.labels[:200])
    found = floor(judge, few)["frechet"]
    assert (len(found["values"]), found["ci95"]) == (1, None)


def test_a_floor_that_is_the_same_in_each_draw_has_no_interval() -> None:
    assert summarize([0.9916434540389972] * 5)["ci95"] == 0  # np.std gives 1.2e-16
