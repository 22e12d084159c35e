"""The study `hidden_size`: its words on made-up outcomes of either kind, and a small real one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import genray
from genray import studies
from genray.cluster import parts
from genray.cluster.parts import Asked
from genray.errors import UserError
from genray.overrides import with_values
from genray.report import drawing
from genray.report.answer import Answer
from genray.space import Sweep
from genray.studies import _hidden_tests, hidden_size
from genray.studies._hidden_figures import log_ticks
from genray.studies._hidden_tests import MODELS, SIZES, paired_tests, scores_of
from genray.studies._hidden_training import experiment_of, trained
from genray.studies.base import Outcome, Part
from tests.studies.fakes import outcome_of

FOUR = ("vae", "gan", "vae_gan", "aae")
FLOOR = 1.0

Row = tuple[float, float, float]  # a mean at each size


def outcomes(means: Mapping[str, Row], spread: float = 0.1, seeds: int = 5) -> dict[str, Outcome]:
    """Of made-up Fréchet distances at each size."""
    rng = np.random.default_rng(0)
    runs: dict[str, Outcome] = {
        f"{model}-{size}-{seed}": {
            "runs": [
                {
                    "model": model,
                    "hidden": size,
                    "seed": seed,
                    "scores": {"frechet": mean + rng.normal(0, spread), "recall": 0.5},
                    "failed": {},
                    "num_parameters": 100 * size,
                    "train_seconds": 1.0 + size / 64,
                    "device": "cpu",
                    "samples_given": "",
                }
            ]
        }
        for model, row in means.items()
        for size, mean in zip(SIZES, row, strict=True)
        for seed in range(seeds)
    }
    floor = {"frechet": {"mean": FLOOR, "ci95": 0.1}, "recall": {"mean": 0.9, "ci95": 0.1}}
    real = {"floor": floor, "extractor": "digits-cnn32@1", "num_samples": 359, "num_test": 359, "num_train": 1168}
    return {"floor": real, **runs}


def runs_of(outcomes: Mapping[str, Outcome]) -> list[Outcome]:
    return [run for name, outcome in outcomes.items() if name != "floor" for run in outcome["runs"]]


def answered(means: Mapping[str, Row], **more: Any) -> Answer:
    study = hidden_size.changed({"models": list(means), "seeds": more.get("seeds", 5)})
    with drawing.style():
        return study.answer(outcomes(means, **more), "quick")


def test_what_the_notes_say_is_said_where_it_is_so() -> None:
    answer = answered({"vae": (31, 12, 11.5), "gan": (11, 4, 3.8)})
    conditions, cut, larger, little, change, gan = answer.summary
    assert conditions.startswith("Fréchet distance on digits, test split, after 200 epochs; lower is better")
    assert re.fullmatch(
        r"Is 64 better than 19\? Yes, for VAE \(−1[\d.]+ ± [\d.]+, −61 %\) and GAN \(−[67][\d.]+ ± [\d.]+, −6\d %\)\.",
        larger,
    )
    assert little.startswith("Does 128 change little against 64, by less than 10 % of the way from the floor to h")
    assert "? Yes, for VAE (−0." in little
    assert change.startswith("Is 128 better than 64 at all? Yes")  # and little all the same
    assert cut == (
        "What was cut, of 7 models on mnist, 300 epochs: 200 epochs of 300; digits in the place of mnist; VAE-GAN, "
        "AAE, CVAE, Discrete VAE and Joint VAE left out."
    )
    assert gan.startswith(
        "Is the GAN better than every VAE that was compared (VAE)? At h = 19: yes, better than VAE (−"
    )
    assert gan.count("yes, better than VAE (−") == 3
    assert [check.verdict for check in answer.checks] == ["holds"] * 3
    assert answer.checks[2].claim == "The GAN is better than every VAE compared (VAE), at every size"
    assert [check.found for check in answer.checks] == [
        "better in 2 of 2 comparisons",
        "little in 2 of 2 comparisons",
        "better in 3 of 3 comparisons",
    ]
    table = answer.tables[1]
    flips = [row[table.columns.index("p (sign flip)")] for row in table.rows]
    assert set(flips) == {"0.0625"}  # of 5 pairs that all agree: 2 of 2⁵
    assert "for 5 pairs never below 0.0625" in table.note


def test_the_contrary_is_said_where_that_is_so() -> None:
    answer = answered({"vae": (12, 31, 11), "gan": (15, 40, 10.9)})
    _, _, larger, little, _, gan = answer.summary
    assert larger.startswith("Is 64 better than 19? No, for VAE (1")
    assert "? No, for VAE (−2" in little
    assert "At h = 19: no, worse than VAE (" in gan
    assert "At h = 128: not decided against VAE" in gan
    assert [check.verdict for check in answer.checks] == ["does not hold"] * 3
    assert answer.checks[0].found == "better in 0 of 2 comparisons; worse: VAE and GAN"
    assert answer.checks[1].found == "little in 0 of 2 comparisons; more than that: VAE and GAN"
    assert answer.checks[2].found == (
        "better in 0 of 3 comparisons; worse: VAE at h = 19 and VAE at h = 64; not decided: VAE at h = 128"
    )


def test_models_that_differ_are_told_apart() -> None:
    """The VAE gains, the AAE loses, the GAN's gain is lost in its spread."""
    means = {"vae": (31.0, 12.0, 11.5), "gan": (11.0, 11.0, 4.0), "vae_gan": (9.0, 3.0, 1.5), "aae": (5.0, 9.0, 9.0)}
    answer = answered(means)
    _, _, larger, little, _, gan, mixed = answer.summary
    assert larger.startswith("Is 64 better than 19? Not for all: better for VAE (−1")
    assert "; worse for AAE (" in larger
    assert "; not decided for GAN (" in larger
    assert "? Not for all: less than that for VAE (−0." in little
    assert "more than that for GAN (−" in little
    assert mixed.startswith("And than VAE-GAN and AAE, trained by a discriminator too? At h = 19: no")
    assert [check.verdict for check in answer.checks[:2]] == ["does not hold"] * 2
    assert "At h = 64: yes, better than VAE" in gan


def test_few_or_scattered_seeds_decide_nothing() -> None:
    for more in ({"spread": 30.0}, {"seeds": 1}):
        answer = answered({"vae": (31, 12, 11.5), "gan": (11, 4, 3.8)}, **more)
        assert "Is 64 better than 19? Not decided for VAE" in answer.summary[2]
        assert "? Not decided for VAE" in answer.summary[3]
        assert [check.verdict for check in answer.checks] == ["not decided"] * 3


def test_without_a_gan_that_question_is_not_asked() -> None:
    answer = answered({"vae": (31, 12, 11.5), "aae": (11, 4, 3.8)})
    assert answer.summary[-1].endswith("Not asked: there is no GAN, or no VAE, among these models.")
    assert len(answer.checks) == 2
    both = answered({"gan": (31, 12, 11.5), "aae": (11, 4, 3.8)})
    assert "Not asked" in both.summary[5]
    assert "And than AAE, trained by a discriminator too? At h = 19: no, worse than AAE (" in both.summary[6]


def test_the_margin_is_a_tenth_of_the_way_from_the_floor() -> None:
    runs = runs_of(outcomes({"vae": (31, 12, 11)}, spread=0))
    little = next(test for test in paired_tests(scores_of(runs), FLOOR) if test.question == "little")
    assert little.margin == pytest.approx(0.1 * (31 - FLOOR))
    assert little.mean == pytest.approx(-1)
    assert next(t for t in paired_tests(scores_of(runs), 40.0) if t.question == "little").margin == 0  # below the floor


def test_the_margins_own_error_counts() -> None:
    """By scipy's t of the contrasts x128 − x64 ± (x19 − floor) / 10; with an exact margin it would be decided."""
    small, middle, large = [31.0, 9.0, 3.0, 25.0, 12.0], [3.0, 3.1, 2.9, 3.0, 3.2], [2.0, 2.2, 1.8, 2.1, 2.2]
    scores = {("vae", h): dict(enumerate(x)) for h, x in zip(SIZES, (small, middle, large), strict=True)}
    scores["vae", 19] |= {9: 1e6}  # a seed that the others lack
    change, little = (t for t in paired_tests(scores, FLOOR) if t.question in ("change", "little"))
    tenth, differences = np.subtract(small, FLOOR) / 10, np.subtract(large, middle)
    inside = [stats.ttest_1samp(tenth + sign * differences, 0, alternative="greater").pvalue for sign in (1, -1)]
    assert little.margins == pytest.approx(tenth)
    assert little.p == pytest.approx(max(inside))
    assert stats.ttest_1samp(differences, -tenth.mean(), alternative="greater").pvalue < 0.01 < 0.1 < little.p
    assert change.p == pytest.approx(stats.ttest_rel(large, middle).pvalue)
    assert change.percent == little.percent == pytest.approx(100 * differences.mean() / np.mean(middle))
    assert (change.verdict, little.verdict) == ("better", "undecided")


def test_seconds_of_packs_on_a_gpu_are_left_out() -> None:
    found = outcomes({"vae": (31, 12, 11.5), "gan": (11, 4, 3.8)})
    for outcome in runs_of(found):
        outcome["device"] = "cuda"
    for pack, shown in ((1, True), (5, False)):
        with drawing.style():
            answer = hidden_size.changed({"pack": pack}).answer(found, "quick")
        assert ("training [s]" in answer.tables[0].columns) == shown
        assert ("by_seconds" in [figure.name for figure in answer.figures]) == shown
        assert ("Training seconds are left out" in answer.tables[0].note) != shown
        assert all(len(row) == len(table.columns) for table in answer.tables for row in table.rows)


def test_logarithmic_axes_have_two_ticks_or_more() -> None:
    assert log_ticks(20_000, 500_000) == [30_000, 100_000, 300_000]
    assert log_ticks(4.7, 17.5) == [5, 10]
    assert log_ticks(1.05, 1.64) == [1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
    for low in np.geomspace(0.01, 1000, 50):
        for ratio in (1.01, 1.5625, 3.0, 30.0):
            ticks = log_ticks(low, ratio * low)
            assert len(ticks) >= 2
            assert low <= min(ticks) < max(ticks) <= ratio * low


def test_all_questions_are_corrected_together() -> None:
    runs = runs_of(outcomes(dict.fromkeys(FOUR, (3.0, 2.0, 1.9))))
    tests = paired_tests(scores_of(runs), FLOOR)
    assert len(tests) == 4 + 4 + 4 + 3 * 3
    smallest = min(tests, key=lambda test: test.p)
    assert smallest.holm_p == pytest.approx(min(1.0, len(tests) * smallest.p))
    assert all(test.holm_p >= test.p for test in tests)


def test_a_seed_that_one_side_lacks_makes_no_pair() -> None:
    assert _hidden_tests.paired({0: 5.0, 1: 7.0, 3: 1.0}, {3: 4.0, 0: 2.0}) == (3.0, -3.0)


def test_the_full_budget_is_that_of_the_search_space() -> None:
    """Same data, models, sizes, seeds and epochs; and every experiment the same, but for when it is looked at."""
    sweep = Sweep.load(Path("search_spaces/hidden_size.yaml"))
    work = hidden_size.changed({"dataset": "digits"}).parts("full")  # which needs no download
    settings = [dict(part.arguments) | {"dataset": "mnist"} for part in work[1:]]
    seen = {(s["model"], s["hidden"], seed) for s in settings for seed in s["seeds"]}
    choices = sweep.grid("vae")
    assert hidden_size.WORK["full"].dataset == "mnist"
    assert seen == set(itertools.product(sweep.models, choices["model.hidden"], choices["seed"]))
    for s in settings:
        shared = {key: value for key, value in s.items() if key != "seeds"}
        for seed in s["seeds"]:
            theirs = sweep.experiment_of(s["model"], {"model.hidden": s["hidden"], "seed": seed})
            assert set(experiment_of(seed=seed, **shared).differences(theirs)) <= {"evaluate_every", "checkpoint_every"}


def test_set_changes_the_work_and_is_checked() -> None:
    work = hidden_size.changed({"epochs": 3, "models": ["gan", "vae"], "seeds": 2}).parts("quick")
    assert [part.name for part in work[:4]] == ["floor", "vae-19-0", "vae-64-0", "vae-128-0"]
    assert len(work) == 1 + 2 * 3 * 2
    assert {part.arguments["epochs"] for part in work[1:]} == {3}
    for overrides, message in (
        ({"epoch": 3}, "--set: epoch: unknown key; did you mean 'epochs'"),
        ({"models": ["progan"]}, "--set: models: 'progan' is not compared here"),
        ({"dataset": "minst"}, "--set: dataset: 'minst' is not known; did you mean 'mnist'"),
        ({"pack": 0}, "--set: pack: input should be greater than 0, got 0"),
        ({"seeds": 0}, "--set: seeds: input should be greater than 0, got 0"),
    ):
        with pytest.raises(UserError, match=message):
            hidden_size.changed(overrides).parts("quick")


def test_seeds_go_by_packs_of_which_the_last_may_be_smaller() -> None:
    work = hidden_size.changed({"models": ["vae"], "seeds": 5, "pack": 2}).parts("quick")[1:]
    assert [part.name for part in work] == [f"vae-{size}-{first}" for first in (0, 2, 4) for size in SIZES]
    assert [part.arguments["seeds"] for part in work[::3]] == [[0, 1], [2, 3], [4]]


def test_a_study_that_has_a_budget_alone_takes_no_set() -> None:
    iwae = studies.load("iwae")
    assert studies.changed(iwae, "iwae", {}) is iwae
    with pytest.raises(UserError, match=r"^study iwae takes no --set, got epochs; leave it out$"):
        studies.changed(iwae, "iwae", {"epochs": 3})


def test_without_its_dataset_it_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    with pytest.raises(UserError, match=rf"^study hidden_size needs mnist, which is not in {tmp_path}; set "):
        hidden_size.parts("full")


def test_a_part_scores_as_train_and_evaluate_do(tmp_path: Path) -> None:
    """The same numbers as by the commands that train a run and score it on the test split."""
    setting = {"dataset": "digits", "model": "vae_gan", "hidden": 19, "seeds": [3], "epochs": 2, "batch_size": 64}
    [outcome] = outcome_of(Part("vae_gan-19-3", trained, setting))["runs"]
    tree = {"seed": 3} | {key: setting[key] for key in ("dataset", "epochs", "batch_size")}
    run = genray.train(with_values(tree, {"model.name": "vae_gan", "model.hidden": 19}), out=tmp_path / "run")
    result = genray.evaluate(run.path)
    assert outcome["scores"] == pytest.approx({key: result["metrics"][key] for key in outcome["scores"]}, rel=1e-6)
    assert result["metrics"].keys() - outcome["scores"].keys() <= {"fd_infinity_error", "kernel_std"}
    assert outcome["num_parameters"] == result["num_parameters"]
    assert "samples" not in outcome


def test_smoke_digits(tmp_path: Path) -> None:
    study = hidden_size.changed({"epochs": 1, "seeds": 2, "models": ["vae", "gan", "cvae"]})
    found = {part.name: outcome_of(part) for part in study.parts("quick")}
    with drawing.style():
        answer = study.answer(found, "quick")
    assert all(len(row) == len(table.columns) for table in answer.tables for row in table.rows)
    assert [figure.name for figure in answer.figures] == [
        "by_hidden",
        "by_parameters",
        "by_seconds",
        "differences",
        "samples",
    ]
    assert len(answer.tables[0].rows) == 3 * 3 + 1
    assert answer.tables[0].rows[-1][0] == "real images (floor)"
    assert np.array(found["vae-19-0"]["runs"][0]["samples"]).shape == (8, 8, 8, 1)
    assert all("samples" not in run for run in answer.data["runs"])
    assert {run["model"] for run in answer.data["runs"]} <= MODELS.keys()


def test_a_folder_of_other_changes_is_not_gone_on_with(tmp_path: Path) -> None:
    parts.check(tmp_path, Asked("hidden_size", "quick", {"epochs": 3}), resume=False)
    with parts.opened(tmp_path, Asked("hidden_size", "quick", {"epochs": 3})):
        pass
    parts.check(tmp_path, Asked("hidden_size", "quick", {"epochs": 3}), resume=True)
    for overrides, said in (({}, "{}"), ({"epochs": 4}, "{'epochs': 4}")):
        message = f"a study whose overrides is {{'epochs': 3}}, got {said}; give the same, or another folder with --out"
        with pytest.raises(UserError, match=re.escape(message)):
            parts.check(tmp_path, Asked("hidden_size", "quick", overrides), resume=True)
    (tmp_path / "study.yaml").write_text("study: hidden_size\nbudget: quick\n")  # as it was before there were any
    parts.check(tmp_path, Asked("hidden_size", "quick"), resume=True)
