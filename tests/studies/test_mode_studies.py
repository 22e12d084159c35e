"""The studies `stacked_mnist` and `progan_ablation`, on stacked 8 x 8 digits, and their claims on made-up outcomes."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from genray.data import datasets
from genray.data.spec import Dataset
from genray.metrics import modes
from genray.models.progan import ProGANConfig
from genray.studies import _claims, _progan_answer, _progan_rows, _stacked, progan_ablation, stacked_mnist
from genray.studies._mnist import runs_of
from genray.studies._progan_rows import ROWS, STACKED
from genray.studies.base import Outcome
from tests.studies import fakes
from tests.studies.answers import check_answer, check_parts

both = pytest.mark.parametrize("study", [stacked_mnist, progan_ablation])


@pytest.fixture
def _digits(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The digits' datasets under the names of MNIST's."""
    given = {"mnist": digits, "stacked_mnist": datasets.load("stacked_digits")}
    monkeypatch.setattr(datasets, "load", given.__getitem__)
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path))
    for study in (stacked_mnist, progan_ablation):
        monkeypatch.setattr(study, "require_mnist", lambda name: None)
    _stacked.stacked_mnist.cache_clear()
    yield
    _stacked.stacked_mnist.cache_clear()


@both
@pytest.mark.usefixtures("_digits")
def test_parts_have_names_of_their_own_and_seeds_come_one_after_the_other(study: ModuleType) -> None:
    check_parts(study, study.REAL)


@pytest.mark.usefixtures("_digits")
def test_stacked_mnist_counts_modes_and_real_images_are_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = (stacked_mnist.PLAIN, stacked_mnist.PACKED, stacked_mnist.CRITIC)
    monkeypatch.setitem(stacked_mnist.WORK, "quick", stacked_mnist.Work(labels, 2, 256, 1, 8, 600))
    found = {part.name: fakes.outcome_of(part) for part in stacked_mnist.parts("quick")}
    answer = stacked_mnist.answer(found, "quick")
    check_answer(answer)
    expected = modes.expected_modes(_stacked.true_shares(), 600)
    of = {name: outcome["runs"][0] for name, outcome in found.items()}
    assert of["test-images-0"]["modes"] == pytest.approx(expected, abs=60)
    assert of["test-images-0"]["kl_nats"] < min(of[f"gan-{seed}"]["kl_nats"] for seed in (0, 1))
    assert of["gan-0"]["modes"] < expected
    assert [row[3] for row in answer.tables[0].rows] == ["99 / 3.40", "1000 / 0.06", "-", "-"]
    rows = {row[0]: row[2] for row in answer.tables[2].rows}
    assert rows["epochs"] == "1"
    assert rows["samples"] == "600"
    assert "reached by none" in answer.summary[1]
    for count in range(1, len(found)):  # as where a study was cut off
        check_answer(stacked_mnist.answer(dict(list(found.items())[:count]), "quick"))


@pytest.mark.usefixtures("_digits")
def test_true_shares_are_those_of_stacked_training_images() -> None:
    labels = datasets.load("stacked_mnist").train.labels
    found = [np.bincount(labels // 10**place % 10, minlength=10) / len(labels) for place in range(3)]
    cube = _stacked.true_shares().reshape(10, 10, 10)
    for place, axes in ((2, (1, 2)), (1, (0, 2)), (0, (0, 1))):
        np.testing.assert_allclose(cube.sum(axes), found[place], atol=0.02)


def test_claims_about_modes_hold_where_every_seed_agrees() -> None:
    def runs(counts: list[float], nats: list[float]) -> list[Outcome]:
        return [{"seed": i, "modes": m, "kl_nats": kl} for i, (m, kl) in enumerate(zip(counts, nats, strict=True))]

    found = {
        stacked_mnist.PLAIN: runs([100, 110], [3.0, 3.1]),
        stacked_mnist.PACKED: runs([900, 911], [0.5, 3.3]),
        stacked_mnist.CRITIC: runs([50, 300], [2.0, 2.0]),
    }
    assert [check.verdict for check in stacked_mnist._checks(found)] == ["holds", "not decided", "not decided"]
    said = stacked_mnist._checks(found)[0].found
    assert said == "GAN, packed by 2 less GAN: 800 ± 6 modes, paired by seed; Holm's p 0.0012"
    found[stacked_mnist.PACKED].pop()
    assert len(stacked_mnist._checks(found)) == 1  # a single seed has no interval


@pytest.mark.usefixtures("_digits")
def test_the_ablation_prints_every_row_beside_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(progan_ablation.WORK, "quick", _progan_rows.Work(1, 64, 1, 8, 40, 64, 1, 8, 200))
    found = {part.name: fakes.outcome_of(part) for part in progan_ablation.parts("quick")}
    answer = progan_ablation.answer(found, "quick")
    check_answer(answer)
    assert [row[0] for row in answer.tables[0].rows] == [*ROWS, progan_ablation.REAL]
    [real] = found["training-images-0"]["runs"]
    assert all(
        sum(real["swd"].values()) < sum(run["swd"].values())
        for run in runs_of(found)
        if "ms_ssim" in run and run is not real
    )
    assert [row[2] for row in answer.tables[1].rows] == ["857", "881"]
    for count in range(1, len(found)):  # as where a study was cut off
        check_answer(progan_ablation.answer(dict(list(found.items())[:count]), "quick"))


def test_the_ablations_claims_are_corrected_together() -> None:
    """By Holm's steps on scipy's paired t: of growth an interval alone would have borne it out."""
    distances = (
        [105.0, 107.0, 109.0],
        [100.0, 100.0, 100.0],
        [60.0, 60.1, 60.2],
        [70.0, 55.0, 61.0],
        [71.0, 50.0, 68.0],
        [69.0, 59.0, 60.0],
        [62.0, 63.0, 60.5],
        [37.0, 38.1, 35.6],
    )
    swd = dict(zip(ROWS, distances, strict=True))
    parts = {label: [{"seed": i, "swd": {"32": value}} for i, value in enumerate(swd[label])] for label in ROWS}
    checks = _progan_answer._checks(parts, {})
    p = [stats.ttest_rel(swd[a], swd[b]).pvalue for a, b in _progan_answer.STEPS.values()]
    order = np.argsort(p)
    holm = np.maximum.accumulate([min(1.0, (7 - place) * p[i]) for place, i in enumerate(order)])
    said = [float(check.found.split("Holm's p ")[1].split(",")[0]) for check in checks]
    assert [said[i] for i in order] == pytest.approx(holm, rel=0.05)
    undecided = ["not decided"] * 4
    assert [check.verdict for check in checks] == ["not decided", "does not hold", *undecided, "holds"]
    assert checks[0].found.startswith("lowered by 7.0 ± 5.0, paired by seed; in the paper lowered by 5.01; Holm's p ")
    assert checks[1].found.startswith("lowered by 39.9 ± 0.2, paired by seed; in the paper raised by 41.96; Holm's p ")
    assert checks[2].found.startswith("raised by 1.9 ± 18.9, paired by seed; in the paper lowered by 38.16; Holm's p ")
    assert p[0] < 0.05
    [rule] = _claims.rule(checks)
    assert "Holm's correction for 7 claims" in rule
    assert _claims.rule([]) == []


def test_each_row_is_the_one_before_it_and_its_part() -> None:
    """By the fields and the batch size in which two rows differ."""
    expected = {
        "growth": {"growth"},
        "the small minibatch": {"batch_size"},
        "training without batch normalization": {"batch_norm"},
        "minibatch discrimination": {"minibatch_discrimination"},
        "minibatch standard deviation": {"minibatch_stddev"},
        "the equalized rate": {"equalized_lr"},
        "pixelwise normalization": {"pixel_norm"},
    }
    whole = {
        label: ProGANConfig.parse(row.model).plain() | {"batch_size": row.batch_size} for label, row in ROWS.items()
    }
    found = {
        part: {key for key, value in whole[a].items() if whole[b][key] != value}
        for part, (a, b) in _progan_answer.STEPS.items()
    }
    assert found == expected
    bare, spread = (ProGANConfig.parse(model).plain() for model, _ in STACKED.values())
    assert {key for key in bare if bare[key] != spread[key]} == {"minibatch_stddev"}


def test_the_papers_means_are_those_of_its_levels() -> None:
    """As printed in its table 1."""
    means = [9.28, 4.28, 46.23, 8.07, 9.84, 7.04, 4.39, 3.56]
    assert [np.mean(row.paper_swd) for row in ROWS.values()] == pytest.approx(means, abs=0.0051)
