"""Controls against closed forms, and metrics, every default one among them, against controls of known places."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genray import metrics
from genray.config import Experiment
from genray.controls import gaussian_mixture, memorizer, pca, rows
from genray.data.spec import Dataset, DataSpec, Split
from genray.errors import UserError
from genray.evaluation.floor import floor
from genray.evaluation.judge import Judge, make_judge, training_features
from genray.extractors.trained import extractor_for
from genray.images import to_float, to_uint8
from genray.intervals import overlap
from genray.nn.noise import Noise
from genray.pictures.catalogue import NUM_SHOWN
from genray.report import controls

EXPERIMENT = Experiment.parse({"model": {"name": "vae"}})

Judged = tuple[list[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def judged(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Control rows of the digits by all default metrics, and the floor."""
    judge = judge_by(digits, EXPERIMENT.metrics)
    return rows.score(judge, digits, EXPERIMENT, tmp_path_factory.mktemp("controls")), floor(judge, digits.train)


@pytest.fixture(scope="module")
def judged_by_others(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """The same by metrics that are there by name, without a floor."""
    judge = judge_by(digits, ("swd", "modes", "parzen"))
    return rows.score(judge, digits, EXPERIMENT, tmp_path_factory.mktemp("others")), {}


def judge_by(digits: Dataset, names: tuple[str, ...]) -> Judge:
    extractor = extractor_for(digits.training_data)
    seen = training_features(extractor, digits.train, names)
    return make_judge(extractor, digits.test, names, train=seen, tuning=digits.validation)


def of(judged: Judged, name: str) -> dict[str, Any]:
    [row] = [row for row in judged[0] if row["control"] == name]
    return row


def test_pca_samples_have_the_covariance_of_the_maximum_likelihood(digits: Dataset) -> None:
    """Against the closed form by NumPy's eigenvectors: Tipping & Bishop 1999, eqs. 7 and 8."""
    model = pca.fit(digits.train, digits.spec, seed=0)
    pixels = to_float(digits.train.images).flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(pixels.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    sigma2 = values[pca.NUM_AXES :].mean()
    leading = vectors[:, : pca.NUM_AXES]
    expected = leading @ np.diag(values[: pca.NUM_AXES] - sigma2) @ leading.T + sigma2 * np.eye(64)
    drawn = model.sample(200_000, Noise(0)).flatten(1).double().numpy()
    assert drawn.mean(0) == pytest.approx(pixels.mean(0), abs=5 * np.sqrt(values[0] / 200_000))
    # the standard error of a covariance is at most sqrt(2 / n) times the largest variance
    assert np.abs(np.cov(drawn.T) - expected).max() < 5 * np.sqrt(2 / 200_000) * np.diag(expected).max()


def test_mixture_of_far_clusters_is_found_again() -> None:
    """Images of two gray levels: samples are of one or the other, in their shares, and no other."""
    rng = np.random.default_rng(0)
    level = np.where(np.arange(4_000) < 1_000, 60, 190)[:, None, None, None]
    images = np.clip(level + rng.normal(0, 4, (4_000, 1, 4, 4)), 0, 255).astype(np.uint8)
    model = gaussian_mixture.fit(Split(images), DataSpec(1, 4, 4, 0), seed=0)
    drawn = to_uint8(model.sample(20_000, Noise(0))).astype(float)
    means = drawn.mean((1, 2, 3))
    dark = means < 125
    assert dark.mean() == pytest.approx(0.25, abs=0.015)
    assert drawn[dark].mean() == pytest.approx(images[:1_000].mean(), abs=0.3)
    assert drawn[~dark].mean() == pytest.approx(images[1_000:].mean(), abs=0.3)
    assert drawn[dark].std() == pytest.approx(images[:1_000].std(), rel=0.05)
    assert not ((means > 75) & (means < 175)).any()


def test_memorizer_draws_each_training_image_as_often() -> None:
    train = Split(np.arange(8, dtype=np.uint8)[:, None, None, None].repeat(4, axis=2).repeat(4, axis=3))
    drawn = to_uint8(memorizer.fit(train, DataSpec(1, 4, 4, 0), seed=0).sample(8_000, Noise(0)))
    shown, counts = np.unique(drawn.reshape(8_000, -1), axis=0, return_counts=True)
    assert np.array_equal(shown, train.images.reshape(8, -1))
    assert np.abs(counts - 1_000).max() < 150  # 5 standard deviations


def test_memorizer_is_at_the_floor_and_caught(judged: Judged) -> None:
    row, real = of(judged, "memorizer"), judged[1]
    for name in ("frechet", "kernel", "precision", "density", "class_score"):
        assert overlap(row["metrics"][name], real[name]), name
    assert row["metrics"]["authenticity"]["values"] == [0.0] * len(rows.SEEDS)
    assert row["metrics"]["copying"]["values"] == [1.0] * len(rows.SEEDS)
    assert controls.alarms(row, "nearer_to_training", real)
    for other in judged[0]:
        assert other is row or not controls.alarms(other, "nearer_to_training", real)


RANKED = [
    name
    for metric in EXPERIMENT.metrics
    for name, score in metrics.load(metric).SCORES.items()
    if score.judges == "samples" and score.better != "none" and score.group in ("fidelity", "diversity")
]


def test_ranked_scores() -> None:
    """That the next test looks at what there is."""
    assert set(RANKED) >= {"frechet", "fd_infinity", "kernel", "precision", "recall", "density", "coverage"}


@pytest.mark.parametrize("name", RANKED)
def test_every_default_score_puts_the_controls_in_order(judged: Judged, name: str) -> None:
    """Replayed images, a mixture, its single Gaussian, nothing learned: each before the next in every seed."""
    ordered = costs(judged, name)
    assert list(ordered) == ["memorizer", "gaussian_mixture", "pca", "untrained"]
    for better, worse in pairwise(ordered.values()):
        assert max(better) < min(worse)


def costs(judged: Judged, name: str) -> dict[str, list[float]]:
    """A score's values of each control, less being better."""
    sign = -1 if metrics.scores()[name].better == "higher" else 1
    return {control: [sign * v for v in of(judged, control)["metrics"][name]["values"]] for control in rows.ABOUT}


@pytest.mark.parametrize("name", ["swd", "parzen"])
def test_so_do_others_that_look_at_pixels(judged_by_others: Judged, name: str) -> None:
    """Parzen windows too: they prefer replayed images to any density."""
    for better, worse in pairwise(costs(judged_by_others, name).values()):
        assert max(better) < min(worse)


def test_modes_are_covered_by_all_that_are_fitted(judged_by_others: Judged) -> None:
    """Replayed images and a mixture both have the classes' shares; a single Gaussian has them less."""
    covered = {control: -np.array(values) for control, values in costs(judged_by_others, "modes").items()}
    assert covered["untrained"].mean() < 10
    assert all((covered[control] == 10).all() for control in ("memorizer", "gaussian_mixture", "pca"))
    off = costs(judged_by_others, "modes_kl")
    assert np.mean(off["memorizer"] + off["gaussian_mixture"]) < np.mean(off["pca"]) < min(off["untrained"]) / 5


def test_what_no_likelihood_was_trained_for_is_the_worst_of_it(judged: Judged) -> None:
    """Model scores stand in the row of the untrained model alone, and are those of the metric itself."""
    assert of(judged, "untrained")["metrics"]["elbo"]["mean"] < -40  # a trained VAE of the digits is near -31
    assert all("elbo" not in of(judged, name)["metrics"] for name in ("memorizer", "gaussian_mixture", "pca"))


def test_pictures_are_of_samples_of_the_first_seed(judged: Judged, digits: Dataset) -> None:
    """Read back pixel by pixel from the grid: four times enlarged, two pixels apart."""
    models = {"memorizer": memorizer.fit, "gaussian_mixture": gaussian_mixture.fit, "pca": pca.fit}
    for name, fit in models.items():
        picture = np.asarray(Image.open(of(judged, name)["samples"]))
        cells = [picture[34 * (i // 10) :, 34 * (i % 10) :][:32:4, :32:4] for i in range(NUM_SHOWN)]
        drawn = fit(digits.train, digits.spec, seed=rows.SEED_SHOWN).sample(NUM_SHOWN, Noise("shown"))
        assert np.array_equal(cells, to_uint8(drawn)[:, 0])


def test_nothing_is_misplaced_on_the_digits(judged: Judged) -> None:
    assert controls.misplaced(*judged) == []


def test_a_metric_that_is_fooled_is_named(judged: Judged) -> None:
    """Scores of two controls exchanged: what looks at them says which metric, and whom it puts above whom."""
    changed: list[dict[str, Any]] = json.loads(json.dumps(judged[0]))
    by_name = {row["control"]: row["metrics"] for row in changed}
    first, last = by_name["memorizer"], by_name["untrained"]
    first["recall"], last["recall"] = last["recall"], first["recall"]
    first["nearer_to_training"] = last["nearer_to_training"]
    notes = controls.misplaced(changed, judged[1])
    assert any(note.startswith("recall places untrained above memorizer") for note in notes)
    assert any(note.startswith("nearer_to_training does not catch memorizer") for note in notes)
    assert all(note.startswith(("recall", "nearer_to_training")) for note in notes)


def test_rows_that_a_density_of_pixels_equals(judged: Judged) -> None:
    mixture, one = (of(judged, name)["metrics"]["frechet"] for name in ("gaussian_mixture", "pca"))
    models = [{"label": "good", "metrics": {"frechet": mixture | {"mean": mixture["mean"] / 2}}}]
    assert controls.not_better(models, judged[0], "frechet") == []
    models += [{"label": "poor", "metrics": {"frechet": one}}, {"label": "even", "metrics": {"frechet": mixture}}]
    [note] = controls.not_better(models, judged[0], "frechet")
    assert note.startswith("poor, even: Fréchet distance is no better than that of a Gaussian mixture")


def test_equal_seeds_give_equal_rows(digits: Dataset) -> None:
    for control in (gaussian_mixture, pca, memorizer):
        a, b = (control.fit(digits.train, digits.spec, seed=3).sample(5, Noise(3)) for _ in range(2))
        assert torch.equal(a, b)


def result_of(data: Dataset, **changes: Any) -> dict[str, Any]:
    extractor = extractor_for(data.training_data)
    seen = {"name": extractor.name, "hash": extractor.hash}
    return {"fingerprint": data.fingerprint, "split": "test", "extractor": seen, "num_samples": 100} | changes


def test_kept_rows_need_no_dataset(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = (EXPERIMENT, result_of(digits), ["frechet"])
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path))
    found = rows.control_rows(*given)
    assert [row["control"] for row in found] == list(rows.ABOUT)
    monkeypatch.setattr(rows, "_dataset", lambda *_: pytest.fail("the dataset is read"))
    assert rows.control_rows(*given) == found
    assert all(Path(row["samples"]).is_file() for row in found)
    with pytest.raises(pytest.fail.Exception):  # another number of samples is another protocol
        rows.control_rows(EXPERIMENT, given[1] | {"num_samples": 99}, ["frechet"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": "0123"}, "the runs were scored on 0123"),
        ({"extractor": {"name": "other", "hash": "0123"}}, "the runs were scored by other 0123"),
    ],
)
def test_controls_of_other_images_or_features_are_refused(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    result = result_of(digits, **changes)
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=said):
        rows.control_rows(EXPERIMENT, result, ["frechet"])
    assert not list(tmp_path.rglob("controls/*"))


def test_nothing_is_downloaded_for_controls(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of(digits)
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path))
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    other = Experiment.parse({"model": {"name": "vae"}, "dataset": "kmnist"})
    with pytest.raises(UserError, match="kmnist is not on this machine"):
        rows.control_rows(other, result, ["frechet"])
