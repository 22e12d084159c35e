"""What is read out of a journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import plotly.graph_objects as go
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from genray.report.parallel import parallel_coordinates, short_names
from genray.report.search import Objective, Search, read_searches
from genray.report.tradeoffs import pareto


def search(
    tmp_path: Path,
    tell: Callable[[optuna.Study, Trial], None],
    *,
    trials: int,
    space: dict[str, optuna.distributions.BaseDistribution] | None = None,
    objective: object = None,
) -> Search:
    """The search of a study whose every trial `tell` ends."""
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    objectives = objective or {"metric": "frechet", "mode": "min"}
    directions = ["minimize"] * (len(objectives) if isinstance(objectives, list) else 1)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name="vae", storage=storage, directions=directions, sampler=sampler)
    for _ in range(trials):
        tell(study, study.ask(space or {"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)}))
    return read_searches(tmp_path, {"objective": objectives})["vae"]


def test_importance_finds_the_parameter_that_the_objective_depends_on(tmp_path: Path) -> None:
    found, num_trials, epoch = search(tmp_path, lambda s, t: s.tell(t, t.params["a"] ** 2), trials=12).importances()
    assert found["a"] > 0.9
    assert sum(found.values()) == pytest.approx(1)
    assert (num_trials, epoch) == (12, None)


def test_importance_of_a_sum_is_each_terms_share_of_the_variance(tmp_path: Path) -> None:
    """Var 2a : Var b = 4 : 1; trees that are not deep enough give the smaller term less."""
    found = search(tmp_path, lambda s, t: s.tell(t, 2 * t.params["a"] + t.params["b"]), trials=300).importances()[0]
    assert found == pytest.approx({"a": 0.8, "b": 0.2}, abs=0.05)


def test_importance_compares_stopped_trials_at_the_epoch_that_all_reached(tmp_path: Path) -> None:
    def tell(study: optuna.Study, trial: Trial) -> None:
        stopped = trial.params["a"] > 0.5  # the bad half never completes
        for epoch in (5, 10) if stopped else (5, 10, 15, 20):
            trial.report(trial.params["a"] / epoch, epoch)
        study.tell(trial, *((None, TrialState.PRUNED) if stopped else (trial.params["a"] / 20,)))

    found, num_trials, epoch = search(tmp_path, tell, trials=16).importances()
    assert (num_trials, epoch) == (16, 10)
    assert found["a"] > 0.9


@pytest.mark.parametrize(("trials", "value"), [(3, None), (8, 1.0)])
def test_no_importance_from_too_few_trials_or_equal_values(tmp_path: Path, trials: int, value: float | None) -> None:
    made = search(tmp_path, lambda s, t: s.tell(t, t.params["a"] if value is None else value), trials=trials)
    assert made.importances()[0] == {}


def test_best_configuration_is_the_best_mean_over_seeds(tmp_path: Path) -> None:
    values = {64: [1.0, 9.0], 128: [3.0, 4.0]}  # the single best trial has hidden 64

    def tell(study: optuna.Study, trial: Trial) -> None:
        hidden = 64 if trial.number < 2 else 128
        trial.suggest_categorical("model.hidden", (64, 128))
        study.tell(trial, values[hidden][trial.params["seed"]])

    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    study = optuna.create_study(study_name="vae", storage=storage)
    for hidden in (64, 128):
        for seed in (0, 1):
            study.enqueue_trial({"model.hidden": hidden, "seed": seed})
    for _ in range(4):
        trial = study.ask({"seed": CategoricalDistribution((0, 1))})
        tell(study, trial)
    made = read_searches(tmp_path, {"objective": {"metric": "frechet"}})["vae"]
    assert made.best is not None
    assert made.best.params["model.hidden"] == 128
    assert [len(trials) for trials in made.configurations] == [2, 2]


def test_parallel_coordinates_place_every_trial_between_the_ends(sweep: Path) -> None:
    found = read_searches(sweep, {"objective": {"metric": "frechet", "mode": "min"}})["vae"]
    figure = parallel_coordinates(found, "#0072b2")
    assert figure is not None
    go.Figure(figure)  # plotly validates every key
    assert sum(trace["x"].count(None) for trace in figure["data"]) == 7  # a gap after each trial: of 8, one failed
    for line in figure["data"]:
        assert all(y is None or 0 <= y <= 1 for y in line["y"])
    assert figure["data"][-1]["line"]["color"] == "#0072b2"  # the best is drawn last
    assert figure["data"][-1]["y"][-2:] == [0.0, None]  # and lies lowest on the axis of the objective
    names = [note["text"] for note in figure["layout"]["annotations"][:6]]
    assert [name.strip("</b>") for name in names[-2:]] == ["epochs", "Fréchet distance ↓"]


def test_a_trial_that_chose_nothing_has_a_place_among_the_choices(tmp_path: Path) -> None:
    space = {"a": FloatDistribution(0, 1), "c": CategoricalDistribution((None, 50))}
    made = search(tmp_path, lambda s, t: s.tell(t, t.params["a"]), trials=8, space=space)
    figure = parallel_coordinates(made, "#0072b2")
    assert figure is not None
    chosen = [trial.params["c"] for trial in made.trials]
    assert set(chosen) == {None, 50}
    axis = next(a["x"] for a in figure["layout"]["annotations"] if a["text"].strip("</b>") == "c")
    drawn = [y for t in figure["data"] for x, y in zip(t["x"], t["y"], strict=True) if x == axis]
    assert sorted(drawn) == sorted(float(choice == 50) for choice in chosen)


def test_no_two_parameters_share_a_name(tmp_path: Path) -> None:
    names = {
        "model.hidden": "hidden",
        "optimizer.phases.generator.learning_rate": "generator.learning_rate",
        "optimizer.phases.discriminator.learning_rate": "discriminator.learning_rate",
        "model.size": "model.size",
        "size": "size",
    }
    space = {key: FloatDistribution(0, 1) for key in names}
    made = search(tmp_path, lambda s, t: s.tell(t, t.params["size"]), trials=8, space=space)
    assert short_names(made) == names
    figure = parallel_coordinates(made, "#0072b2")
    assert figure is not None
    heads = [note["text"].replace("<br>", "") for note in figure["layout"]["annotations"]][: len(names)]
    assert heads == [f"<b>{name}</b>" for name in names.values()]


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    objectives = [{"metric": "frechet", "mode": "min"}, {"metric": "train_seconds", "mode": "min"}]
    pairs = [(1.0, 9.0), (2.0, 5.0), (3.0, 6.0), (4.0, 1.0), (5.0, 2.0)]
    made = search(tmp_path, lambda s, t: s.tell(t, pairs[t.number]), trials=5, objective=objectives)
    figure = pareto(made, "#0072b2")
    assert figure is not None
    go.Figure(figure)
    beaten, best = figure["data"]
    assert list(zip(best["x"], best["y"], strict=True)) == [(1.0, 9.0), (2.0, 5.0), (4.0, 1.0)]
    assert list(zip(beaten["x"], beaten["y"], strict=True)) == [(3.0, 6.0), (5.0, 2.0)]
    assert best["line"]["shape"] == "hv"  # no step goes where no trial was
    lines = parallel_coordinates(made, "#0072b2")
    assert lines is not None
    assert sum(trace["x"].count(None) for trace in lines["data"]) == 5


def test_the_steps_of_a_front_go_by_what_was_reached(tmp_path: Path) -> None:
    """Higher x is better, lower y is better: between (1, 1) and (2, 5) a y of 5 is reached up to x = 2, not 1."""
    objectives = [{"metric": "coverage", "mode": "max"}, {"metric": "frechet", "mode": "min"}]
    pairs = [(1.0, 1.0), (2.0, 5.0), (3.0, 9.0)]
    made = search(tmp_path, lambda s, t: s.tell(t, pairs[t.number]), trials=3, objective=objectives)
    figure = pareto(made, "#0072b2")
    assert figure is not None
    assert figure["data"][1]["line"]["shape"] == "vh"


def test_500_trials_are_few_traces_with_every_trial_in_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(500)
    study, space = optuna.create_study(), {"x": FloatDistribution(0, 1)}
    study.add_trials([optuna.create_trial(params={"x": v}, distributions=space, value=v) for v in values])
    found = Search("vae", tmp_path, (Objective("frechet", "min"),), tuple(study.trials), {})
    figure = parallel_coordinates(found, "#0072b2")
    assert figure is not None
    assert len(figure["data"]) < 20
    drawn = [y for trace in figure["data"] for x, y in zip(trace["x"], trace["y"], strict=True) if x == 0]
    span = (values - values.min()) / np.ptp(values)
    np.testing.assert_allclose(sorted(drawn), sorted(span), atol=1e-4)
    texts = [text for trace in figure["data"] for text in trace["meta"]["texts"]]  # once a trial
    assert sorted(text.partition(":")[0] for text in texts) == sorted(f"trial {number}" for number in range(500))


def test_nothing_to_draw_where_every_trial_failed(tmp_path: Path) -> None:
    made = search(tmp_path, lambda s, t: s.tell(t, state=TrialState.FAIL), trials=5)
    assert parallel_coordinates(made, "#0072b2") is None
    assert made.importances() == ({}, 0, None)


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    search(tmp_path, lambda s, t: s.tell(t, 1.0), trials=3)
    with (tmp_path / "study.journal").open("a") as file:
        file.write('{"op_code": 4, "worker')
    assert len(read_searches(tmp_path, {"objective": {"metric": "frechet"}})["vae"].trials) == 3


def test_no_journal_no_searches(tmp_path: Path) -> None:
    assert read_searches(tmp_path, {}) == {}
    assert list(tmp_path.iterdir()) == []  # Optuna would have made one
