"""The search of one model: an Optuna study of its own, told the truth about every trial."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from genray.config import Experiment
from genray.errors import UserError
from genray.runs import Row
from genray.search import MOST_PERCENT, Asha, Median, Scheduler
from genray.space import Sweep

POPULATION = 8  # of NSGA-II; Optuna's 50 would make a sweep of 16 trials a random search
SEEDS = 2**32  # NumPy takes no seed from here on


@dataclass(frozen=True)
class Job:
    """One run that a lane does."""

    model: str
    name: str  # of its folder below the model's: trial_0007, finalist_0
    experiment: Experiment
    finalist: bool = False

    @property
    def run(self) -> str:
        return f"{self.model}/{self.name}"


class ModelStudy:
    """Hands out the trials of one model and hears of them. Trials that a killed sweep left behind come first, under
    their own numbers.
    """

    def __init__(self, sweep: Sweep, model: str, storage: BaseStorage) -> None:
        self._sweep, self.model = sweep, model
        self._study = optuna.create_study(
            study_name=model,
            storage=storage,
            directions=[objective.direction for objective in sweep.objective],
            pruner=make_pruner(sweep),
            load_if_exists=True,
        )
        self._left_behind = self._trials(TrialState.RUNNING)
        self._running: dict[str, Trial] = {}
        self._experiments: dict[str, Experiment] = {}  # of these

    def next(self) -> Job | None:
        """A trial to run now; None where all are handed out."""
        while True:
            if self._left_behind:
                trial = self._take_up(self._left_behind.pop(0))
            elif len(self._trials()) < self._sweep.num_trials:
                number = len(self._trials())
                self._study.sampler = make_sampler(self._sweep, self.model, number)
                trial = self._study.ask()
            else:
                return None
            if job := self._begin(trial):
                return job

    def _take_up(self, left: FrozenTrial) -> Trial:
        """A trial that a killed sweep left behind. The kill may have come between two draws of its parameters: its
        sampler is brought to where it was, so that the rest is what it would have been."""
        self._study.sampler = make_sampler(self._sweep, self.model, left.number)
        trial = Trial(self._study, left._trial_id)
        for key, distribution in left.distributions.items():
            if key not in trial.relative_params and not distribution.single():
                self._study.sampler.sample_independent(self._study, left, key, distribution)
        return trial

    def _begin(self, trial: Trial) -> Job | None:
        params = {key: distribution.suggest(trial, key) for key, distribution in self._sweep.space(self.model).items()}
        name = f"trial_{trial.number:04d}"
        trial.set_user_attr("run", f"{self.model}/{name}")
        self._running[name] = trial
        try:
            self._experiments[name] = self._sweep.experiment_of(self.model, params)
            return Job(self.model, name, self._experiments[name])
        except UserError as error:  # ends were checked one by one: a combination may still be refused
            self.fail(name, str(error))
            return None

    def report(self, name: str, row: Row) -> bool:
        """A row that was evaluated. False: the trial ended, and was told as PRUNED where it is worse than others at
        that epoch, as FAIL where it has no score by which early stopping could compare it."""
        trial, epoch = self._running[name], int(row["epoch"])
        experiment = self._experiments[name]
        if len(self._sweep.objective) == 2 or experiment.share_done(row) >= 1:
            return True
        objective = self._sweep.objective[0]
        value = row.get(objective.key, math.nan)
        self._note(name, row, value)
        if not trial.should_prune():
            return True
        place = f"epoch {epoch} of {experiment.epochs}"
        if experiment.epochs is None:
            place = f"epoch {epoch}, {100 * experiment.share_done(row):.0f} % of {experiment.limit.text}"
        if not math.isfinite(value):
            self.fail(name, f"{objective.metric} could not be computed at {place}, where early stopping asks for it")
            return False
        trial.set_user_attr("reason", f"stopped at {place}")
        self._tell(name, TrialState.PRUNED)
        return False

    def complete(self, name: str, row: Row) -> None:
        """The last row of a trial that went to its end."""
        values = [row.get(objective.key, math.nan) for objective in self._sweep.objective]
        for objective, value in zip(self._sweep.objective, values, strict=True):
            if not math.isfinite(value):
                self.fail(name, f"{objective.metric} is not finite at the last epoch: {value}")
                return
        if len(values) == 1:
            self._note(name, row, values[0])
        self._tell(name, TrialState.COMPLETE, values)

    def _note(self, name: str, row: Row, value: float) -> None:
        """Tells a score at what was spent for it: epochs, or per cent of a budget that is not in epochs."""
        trial, experiment = self._running[name], self._experiments[name]
        spent = int(row["epoch"])
        if experiment.epochs is None:
            trial.set_user_attr("epochs", spent)
            spent = int(MOST_PERCENT * experiment.share_done(row))
        if spent not in self._frozen(trial).intermediate_values:  # a resumed trial goes through some epochs again
            trial.report(value, spent)

    def fail(self, name: str, reason: str) -> None:
        self._running[name].set_user_attr("reason", reason)
        self._tell(name, TrialState.FAIL)

    def _tell(self, name: str, state: TrialState, values: list[float] | None = None) -> None:
        trial = self._running.pop(name)
        self._study.sampler = make_sampler(self._sweep, self.model, trial.number)
        self._study.tell(trial, values, state)

    @property
    def finished(self) -> bool:
        return not self._running and not self._left_behind and len(self._trials()) >= self._sweep.num_trials

    def count(self, *states: TrialState) -> int:
        return len(self._trials(*states))

    def best(self) -> tuple[dict[str, Any], float] | None:
        """The parameters to train finalists with, without the seed, and their value of the first objective: the mean
        over seeds where seeds were searched. Of two objectives, the first decides. None where no trial was completed.
        """
        values: dict[tuple[tuple[str, Any], ...], list[float]] = {}
        for trial in self._trials(TrialState.COMPLETE):
            key = tuple(sorted((key, value) for key, value in trial.params.items() if key != "seed"))
            values.setdefault(key, []).append(trial.values[0])
        if not values:
            return None
        sign = 1 if self._sweep.objective[0].mode == "min" else -1
        key = min(values, key=lambda key: sign * fmean(values[key]))
        return dict(key), fmean(values[key])

    def why_none(self) -> str:
        """Why there is no best configuration: the last failure's reason."""
        reasons = [trial.user_attrs.get("reason", "") for trial in self._trials(TrialState.FAIL)]
        return f"no trial was completed; the last failed with: {reasons[-1]}" if reasons else "no trial was completed"

    def note(self, notes: Mapping[str, Any]) -> None:
        """Kept with the study, for the report."""
        for key, value in notes.items():
            self._study.set_user_attr(key, value)

    @property
    def notes(self) -> dict[str, Any]:
        return self._study.user_attrs

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._trials()[trial.number]


class _Grid(optuna.samplers.GridSampler):
    """Trials in the grid's order. Without what GridSampler does at the grid's end: stop `Study.optimize`, which is not
    in use here."""

    def after_trial(self, *args: Any) -> None:
        pass


def make_sampler(sweep: Sweep, model: str, number: int) -> optuna.samplers.BaseSampler:
    """The sampler for trial `number`. Its randomness is a function of (seed, number), so that a resumed sweep does not
    draw again what the first trials drew."""
    seed = (sweep.optuna.seed * 1_000_003 + number) % SEEDS
    match sweep.optuna.sampler:
        case "random":
            return optuna.samplers.RandomSampler(seed)
        case "grid":
            return _Grid(sweep.grid(model), sweep.optuna.seed % SEEDS)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # multivariate, constant_liar
        startup = max(4, min(10, sweep.num_trials // 3))
        return optuna.samplers.TPESampler(n_startup_trials=startup, multivariate=True, constant_liar=True, seed=seed)


def make_pruner(sweep: Sweep) -> optuna.pruners.BasePruner:
    """Early stopping whose state is the journal, so that a resumed sweep keeps its rungs."""
    match sweep.scheduler:
        case Scheduler(asha=Asha() as asha):
            return optuna.pruners.SuccessiveHalvingPruner(asha.grace, asha.reduction)
        case Scheduler(median=Median() as median):
            return optuna.pruners.MedianPruner(median.startup_trials, n_warmup_steps=median.grace_epochs)
    return optuna.pruners.NopPruner()
