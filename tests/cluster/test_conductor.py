"""Which run comes next and what becomes of it, without Ray: runs are played, their scores are made up."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from genray.cluster import folder
from genray.cluster.conductor import Conductor
from genray.cluster.study import Job, make_sampler
from genray.errors import UserError
from genray.report.search import epochs_of
from genray.runs import create_run, open_run
from genray.space import Sweep

Score = Callable[[Job, int], float]  # of a job at an epoch
TREE: dict[str, Any] = {
    "experiment": {"dataset": "digits", "epochs": 9, "evaluate_every": 1},
    "models": ["vae", "gan"],
    "search": {"optimizer.learning_rate": {"loguniform": [1e-4, 1e-2]}, "model.hidden": {"int": [8, 64], "step": 8}},
    "trials": 6,
    "finalists": {"seeds": 2},
}


def far_from_good(job: Job, epoch: int) -> float:
    """Smallest at a learning rate of 1e-3, and for a GAN at another width than for a VAE."""
    experiment = job.experiment
    width = 16 if job.model == "vae" else 48
    rate = experiment.optimizer.learning_rate or 1.0
    return abs(math.log10(rate) + 3) + abs(experiment.model.hidden - width) / 64 + 1 / epoch


def play(
    sweep: Sweep,
    out: Path,
    score: Score = far_from_good,
    *,
    lanes: int = 1,
    ends: float = math.inf,
    resume: bool = False,
    faulty: tuple[str, ...] = (),
    pace: Callable[[Job], float] = lambda job: 1.0,  # seconds an epoch
) -> list[str]:
    """Plays a sweep, all lanes at the same pace, until `ends` rows were told. Returns runs in their order."""
    order: list[str] = []
    folder.check(out, sweep, resume=resume)
    with folder.opened(out, sweep) as storage:
        conductor = Conductor(sweep, storage, out, lanes=lanes)
        live: list[tuple[Job, int]] = []
        told = 0
        while True:
            while jobs := conductor.next():
                for job in jobs:
                    create_run(out / job.run, job.experiment, resume=True)
                    order.append(job.run)
                    live.append((job, 1))
            if not live:
                assert conductor.finished
                return order
            job, epoch = live.pop(0)
            if told >= ends:
                return order
            told += 1
            if job.run in faulty:
                conductor.fail(job.run, "the loss is not finite")
                continue
            row = {"epoch": epoch, "validation/frechet": score(job, epoch), "train_seconds": epoch * pace(job)}
            if not conductor.report(job.run, row):
                continue
            if job.experiment.share_done(row) < 1:
                live.append((job, epoch + 1))
                continue
            if job.finalist:
                (out / job.run / "result.json").write_text(json.dumps({"metrics": {}}))
            conductor.complete(job.run, row)


def trials(out: Path, model: str = "vae") -> list[optuna.trial.FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(out / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=model, storage=storage).get_trials()


@pytest.mark.parametrize("lanes", [1, 3])
def test_models_take_turns_and_get_the_same_trials_and_finalists(tmp_path: Path, lanes: int) -> None:
    order = play(Sweep.parse(TREE), tmp_path / "out", lanes=lanes)
    search = [run for run in order if "trial" in run]
    assert search == [f"{model}/trial_{k:04d}" for k in range(6) for model in ("vae", "gan")]
    assert sorted(set(order) - set(search)) == [f"{m}/finalist_{k}" for m in ("gan", "vae") for k in range(2)]


def test_finalists_are_the_best_configuration_with_fresh_seeds(tmp_path: Path) -> None:
    out = tmp_path / "out"
    play(Sweep.parse(TREE), out)
    for model in ("vae", "gan"):
        best = min(trials(out, model), key=lambda trial: trial.value or math.inf)
        expected = open_run(out / best.user_attrs["run"]).experiment
        for k in range(2):
            finalist = open_run(out / model / f"finalist_{k}").experiment
            assert expected.differences(finalist) == ["seed"]
            assert finalist.seed == k + 1  # trials have 0


@pytest.mark.parametrize("seed", [5_000, 2**40])
@pytest.mark.parametrize("sampler", ["tpe", "random", "grid", "nsga2"])
def test_a_sampler_takes_any_seed(sampler: str, seed: int) -> None:
    tree = TREE | {"search": {"model.hidden": {"choice": [8, 16, 24]}}, "trials": 3}
    sweep = Sweep.parse(tree | {"optuna": {"sampler": sampler, "seed": seed}})

    def drawn() -> list[dict[str, Any]]:
        study = optuna.create_study()
        for number in range(3):
            study.sampler = make_sampler(sweep, "vae", number)
            trial = study.ask()
            study.tell(trial, float(sweep.space("vae")["model.hidden"].suggest(trial, "model.hidden")))
        return [trial.params for trial in study.trials]

    assert drawn() == drawn()


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_a_sweep_that_was_killed_and_resumed_is_the_same_sweep(tmp_path: Path, sampler: str) -> None:
    sweep = Sweep.parse(TREE | {"optuna": {"sampler": sampler}, "trials": 8, "models": ["vae"]})
    play(sweep, tmp_path / "whole")
    for ends in (3, 40, 9, 100):
        play(sweep, tmp_path / "parts", ends=ends, resume=(tmp_path / "parts").exists())
    play(sweep, tmp_path / "parts", resume=True)
    whole, parts = trials(tmp_path / "whole"), trials(tmp_path / "parts")
    assert [trial.params for trial in parts] == [trial.params for trial in whole]
    assert [trial.values for trial in parts] == [trial.values for trial in whole]
    assert len({tuple(trial.params.values()) for trial in parts}) == 8


def test_running_trials_go_on_first_and_under_their_numbers(tmp_path: Path) -> None:
    sweep = Sweep.parse(TREE)
    play(sweep, tmp_path / "out", lanes=3, ends=20)
    left = [
        t.user_attrs["run"] for m in sweep.models for t in trials(tmp_path / "out", m) if t.state == TrialState.RUNNING
    ]
    done = [t.user_attrs["run"] for m in sweep.models for t in trials(tmp_path / "out", m) if t.state.is_finished()]
    assert left
    order = play(sweep, tmp_path / "out", lanes=3, resume=True)
    assert sorted(order[: len(left)]) == sorted(left)
    assert not set(order) & set(done)


@pytest.mark.parametrize("reduction", [2, 3])
def test_what_asha_stops_is_what_optuna_itself_would_stop(tmp_path: Path, reduction: int) -> None:
    def table(number: int, epoch: int) -> float:
        return ((number * 7 + 3) % 11) / epoch + number % 3

    sweep = Sweep.parse(
        TREE
        | {"models": ["vae"], "trials": 20, "scheduler": {"asha": {"grace_epochs": 1, "reduction": reduction}}}
        | {"optuna": {"sampler": "random"}}
    )
    play(sweep, tmp_path / "out", lambda job, epoch: table(int(job.name[-4:]), epoch) if not job.finalist else 0.0)

    def objective(trial: optuna.Trial) -> float:
        for epoch in range(1, sweep.most_resource):
            trial.report(table(trial.number, epoch), epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return table(trial.number, sweep.most_resource)

    reference = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner(1, reduction))
    reference.optimize(objective, n_trials=20)
    ours = trials(tmp_path / "out")
    assert [trial.state for trial in ours] == [trial.state for trial in reference.trials]
    assert {TrialState.PRUNED, TrialState.COMPLETE} == {trial.state for trial in ours}
    assert [trial.last_step for trial in ours if trial.state == TrialState.PRUNED] == [
        trial.last_step for trial in reference.trials if trial.state == TrialState.PRUNED
    ]
    assert all(  # without its score, which stands beside it: trials that were stopped at one epoch have one reason
        t.user_attrs["reason"] == f"stopped at epoch {t.last_step} of {sweep.most_resource}"
        for t in ours
        if t.state == TrialState.PRUNED
    )


def test_with_seconds_for_a_budget_rungs_are_shares_of_them(tmp_path: Path) -> None:
    """Every second trial takes twice as long for an epoch: its first is 10 % of the budget, of the others 5 %."""

    def pace(number: int) -> int:
        return 1 + number % 2

    def table(number: int, percent: int) -> float:
        return ((number * 7 + 3) % 11) / percent + number % 3

    budget = {"dataset": "digits", "budget": {"seconds": 20}, "evaluate_every": 1}
    sweep = Sweep.parse(
        TREE
        | {"experiment": budget, "models": ["vae"], "trials": 20, "optuna": {"sampler": "random"}}
        | {"scheduler": {"asha": {"grace_percent": 10, "reduction": 2}}}
    )

    def number_of(job: Job) -> int:
        return 0 if job.finalist else int(job.name[-4:])

    def score(job: Job, epoch: int) -> float:
        return table(number_of(job), 5 * epoch * pace(number_of(job)))

    play(sweep, tmp_path / "out", score, pace=lambda job: pace(number_of(job)))

    def objective(trial: optuna.Trial) -> float:
        for percent in range(5 * pace(trial.number), 100, 5 * pace(trial.number)):
            trial.report(table(trial.number, percent), percent)
            if trial.should_prune():
                raise optuna.TrialPruned
        return table(trial.number, 100)

    reference = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner(10, 2))
    reference.optimize(objective, n_trials=20)
    ours = trials(tmp_path / "out")
    assert [trial.state for trial in ours] == [trial.state for trial in reference.trials]
    stopped = [trial for trial in ours if trial.state == TrialState.PRUNED]
    assert stopped
    for trial in stopped:
        percent = reference.trials[trial.number].last_step
        assert trial.last_step == percent
        assert epochs_of(trial) == percent // (5 * pace(trial.number))
        assert f"{percent} % of 20 s of training" in trial.user_attrs["reason"]


@pytest.mark.filterwarnings("ignore:All-NaN")  # of Optuna's pruner
@pytest.mark.parametrize(
    ("scheduler", "told"),
    [
        ({"asha": {"grace_epochs": 3, "reduction": 2}}, TrialState.FAIL),
        ({"median": {"grace_epochs": 3, "startup_trials": 1}}, TrialState.FAIL),
        (None, TrialState.COMPLETE),
    ],
)
def test_a_trial_whose_score_is_missing_where_it_is_asked_for_has_failed(
    tmp_path: Path, scheduler: dict[str, Any] | None, told: TrialState
) -> None:
    """Not stopped as worse than others, which nobody knows. Where no scheduler asks, the last epoch alone counts."""
    sweep = Sweep.parse(TREE | {"models": ["vae"], "scheduler": scheduler})
    play(sweep, tmp_path / "out", lambda job, e: math.nan if job.name == "trial_0002" and e <= 3 else 1 / e)
    found = trials(tmp_path / "out")[2]
    assert found.state == told
    reason = "frechet could not be computed at epoch 3 of 9, where early stopping asks for it"
    assert found.user_attrs.get("reason") == (reason if told == TrialState.FAIL else None)


def test_a_model_whose_trials_all_fail_has_no_finalists_and_the_others_go_on(tmp_path: Path) -> None:
    order = play(
        Sweep.parse(TREE),
        tmp_path / "out",
        lambda job, epoch: math.nan if job.model == "gan" else far_from_good(job, epoch),
    )
    assert {trial.state for trial in trials(tmp_path / "out", "gan")} == {TrialState.FAIL}
    assert {trial.state for trial in trials(tmp_path / "out", "vae")} == {TrialState.COMPLETE}
    assert [run for run in order if "finalist" in run] == ["vae/finalist_0", "vae/finalist_1"]
    with folder.opened(tmp_path / "out", Sweep.parse(TREE)) as storage:
        _, gan = Conductor(Sweep.parse(TREE), storage, tmp_path / "out", lanes=1).status()
    assert (gan.failed, gan.finalists) == (6, 0)
    assert "not finite" in gan.note


def test_a_finalist_that_fails_is_noted_and_not_tried_again(tmp_path: Path) -> None:
    sweep, out = Sweep.parse(TREE | {"models": ["vae"]}), tmp_path / "out"
    play(sweep, out, faulty=("vae/finalist_0", "vae/trial_0001"))
    assert [trial.state == TrialState.FAIL for trial in trials(out)] == [False, True, False, False, False, False]
    assert play(sweep, out, resume=True) == []
    with folder.opened(out, sweep) as storage:
        [vae] = Conductor(sweep, storage, out, lanes=1).status()
        attributes = optuna.load_study(study_name="vae", storage=storage).user_attrs
    assert attributes["failed_finalists"] == {"finalist_0": "the loss is not finite"}
    assert (vae.finalists_done, vae.finalists_failed) == (1, 1)


def test_more_trials_replace_finalists_that_are_beaten_and_keep_their_folders(tmp_path: Path) -> None:
    out, few = tmp_path / "out", Sweep.parse(TREE | {"models": ["vae"], "trials": 2})
    play(few, out)
    before = open_run(out / "vae" / "finalist_0").experiment
    finished = [trial.params for trial in trials(out)]
    order = play(Sweep.parse(TREE | {"models": ["vae", "gan"], "trials": 12}), out, resume=True)
    assert [trial.params for trial in trials(out)][:2] == finished
    assert not {"vae/trial_0000", "vae/trial_0001"} & set(order)
    assert len([run for run in order if run.startswith("gan/trial")]) == 12
    assert before.differences(open_run(out / "vae" / "finalist_0").experiment)
    assert not before.differences(open_run(out / "vae" / "replaced" / "finalist_0_0").experiment)
    assert play(Sweep.parse(TREE | {"models": ["vae", "gan"], "trials": 12}), out, resume=True) == []


def test_a_grid_is_gone_through_once_and_seeds_are_averaged_over(tmp_path: Path) -> None:
    sweep = Sweep.parse(
        TREE
        | {"models": ["vae"], "trials": None, "optuna": {"sampler": "grid"}}
        | {"search": {"model.hidden": {"choice": [16, 32]}, "seed": {"choice": [0, 1, 2]}}}
    )
    luck = {(16, 0): 0.0, (16, 1): 9.0, (16, 2): 9.0}  # the best single trial, of the worse width
    play(sweep, tmp_path / "out", lambda job, _: luck.get((job.experiment.model.hidden, job.experiment.seed), 5.0))
    points = [(trial.params["model.hidden"], trial.params["seed"]) for trial in trials(tmp_path / "out")]
    assert sorted(points) == sorted(itertools.product([16, 32], [0, 1, 2]))
    finalists = [open_run(tmp_path / "out" / "vae" / f"finalist_{k}").experiment for k in range(2)]
    assert [(f.model.hidden, f.seed) for f in finalists] == [(32, 3), (32, 4)]


def test_two_objectives_are_told_and_the_first_decides(tmp_path: Path) -> None:
    objectives = [{"metric": "frechet"}, {"metric": "train_seconds", "mode": "max"}]
    sweep = Sweep.parse(TREE | {"models": ["vae"], "objective": objectives, "optuna": {"sampler": "nsga2"}})
    play(sweep, tmp_path / "out")
    told = trials(tmp_path / "out")
    assert [trial.values[1] for trial in told] == [9.0] * 6
    best = min(told, key=lambda trial: trial.values[0])
    finalist = open_run(tmp_path / "out" / "vae" / "finalist_0").experiment
    assert finalist.optimizer.learning_rate == best.params["optimizer.learning_rate"]


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    sweep, out = Sweep.parse(TREE), tmp_path / "out"
    play(sweep, out, ends=30)
    with (out / "study.journal").open("ab") as journal:
        journal.write(b'{"op_code": 5, "worker_id"')
    play(sweep, out, resume=True)
    assert {trial.state for trial in trials(out)} == {TrialState.COMPLETE}


def test_a_folder_takes_one_sweep(tmp_path: Path) -> None:
    sweep, out = Sweep.parse(TREE), tmp_path / "out"
    with pytest.raises(UserError, match="holds no sweep"):
        folder.check(out, sweep, resume=True)
    play(sweep, out, ends=10)
    with pytest.raises(UserError, match="holds a sweep already"):
        folder.check(out, sweep, resume=False)
    for change, words in (
        ({"experiment": TREE["experiment"] | {"epochs": 8}}, "differs in experiment.epochs"),
        ({"search": {"model.hidden": {"choice": [8]}}}, "differs in search"),
        ({"trials": 5}, "trials must be >="),
        ({"models": ["gan", "aae"]}, "holds trials of vae"),
    ):
        with pytest.raises(UserError, match=words):
            folder.check(out, Sweep.parse(TREE | change), resume=True)
    with folder.opened(out, sweep), pytest.raises(UserError, match="in use by another"), folder.opened(out, sweep):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(UserError, match="is not a sweep"):
        folder.check(tmp_path / "other", sweep, resume=False)
