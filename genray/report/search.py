"""What a sweep's journal tells of one model's search: its trials, the best of them, and what mattered."""

from __future__ import annotations

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from genray import journal
from genray.errors import UserError

FEWEST_FOR_IMPORTANCE = 4  # trials; a forest on fewer ranks parameters by chance
# Of the forest's trees. Time grows with the square of the leaves: without it, 1,000 trials of 6 parameters took 20 s in
# place of 2.5, and no share differed by more than it does from one of the forest's seeds to another.
DEEPEST = 8


@dataclass(frozen=True)
class Objective:
    metric: str
    mode: str  # "min" or "max"


@dataclass(frozen=True)
class Search:
    """One model's study."""

    model: str
    folder: Path  # of the sweep; a trial's "run" is relative to it
    objectives: tuple[Objective, ...]
    trials: tuple[FrozenTrial, ...]
    attributes: dict[str, Any]  # what the sweep noted with the study: `no_finalists`, `failed_finalists`

    def count(self, state: TrialState) -> int:
        return sum(trial.state is state for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Time that all trials took together, one after the other."""
        return sum(trial.duration.total_seconds() for trial in self.trials if trial.duration)

    @property
    def failure(self) -> str | None:
        """The commonest reason that trials give for failing."""
        reasons = Counter(reason_of(trial) for trial in self.trials if trial.state is TrialState.FAIL)
        return max(reasons, key=lambda reason: reasons[reason], default=None)

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Of every parameter that any trial has, in the order in which they appear."""
        merged: dict[str, BaseDistribution] = {}
        for trial in self.trials:
            merged = trial.distributions | merged
        return merged

    @cached_property
    def configurations(self) -> list[list[FrozenTrial]]:
        """Completed trials, those that differ in their seed alone together; the best mean first objective first."""
        alike: dict[tuple[tuple[str, Any], ...], list[FrozenTrial]] = defaultdict(list)
        for trial in self.trials:
            if trial.state is TrialState.COMPLETE and trial.values:
                alike[tuple(sorted((k, v) for k, v in trial.params.items() if k != "seed"))].append(trial)
        sign = 1 if self.objectives[0].mode == "min" else -1
        return sorted(alike.values(), key=lambda trials: sign * fmean(trial.values[0] for trial in trials))

    @property
    def best(self) -> FrozenTrial | None:
        """The completed trial whose configuration the finalists have: of several seeds, the first."""
        return self.configurations[0][0] if self.configurations else None

    def importances(self) -> tuple[dict[str, float], int, int | None]:
        """Share of each parameter in the variation of the first objective (fANOVA), the number of trials it rests on,
        and the epoch at which their objectives were taken (None: at their ends).

        Trials that were stopped early count too, for leaving them out keeps the good half of the space only: all are
        compared at the last epoch that each of them reached. Empty where there are too few.
        """
        usable = [t for t in self.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        epoch = None
        if all(trial.intermediate_values for trial in usable) and usable:
            epoch = min(max(trial.intermediate_values) for trial in usable)
        values = {trial.number: value_at(trial, epoch) for trial in usable}
        measured = [t for t in usable if (v := values[t.number]) is not None and math.isfinite(v)]
        distinct = {values[trial.number] for trial in measured}
        if len(measured) < FEWEST_FOR_IMPORTANCE or len(distinct) < 2:
            return {}, len(measured), epoch
        with _quiet():
            study = optuna.create_study()
        study.add_trials([_as_complete(trial, values[trial.number]) for trial in measured])
        evaluator = optuna.importance.FanovaImportanceEvaluator(max_depth=DEEPEST, seed=0)
        return optuna.importance.get_param_importances(study, evaluator=evaluator), len(measured), epoch


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's word on a study that no user asked for."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _as_complete(trial: FrozenTrial, value: float | None) -> FrozenTrial:
    return optuna.create_trial(params=trial.params, distributions=trial.distributions, value=value)


def value_at(trial: FrozenTrial, epoch: int | None) -> float | None:
    """The first objective at the last report up to `epoch`; None: at the trial's end."""
    reports = trial.intermediate_values
    if epoch is None or not reports:
        return last_values(trial)[0] if last_values(trial) else None
    reached = [step for step in reports if step <= epoch]
    return reports[max(reached)] if reached else None


def last_values(trial: FrozenTrial) -> list[float]:
    """The objectives of a completed trial; the last that was reported of another; empty where there is none."""
    if trial.state is TrialState.COMPLETE and trial.values:
        return list(trial.values)
    reports = trial.intermediate_values
    return [reports[max(reports)]] if reports else []


def epochs_of(trial: FrozenTrial) -> int | None:
    """How many epochs the trial had trained at its last report."""
    noted = trial.user_attrs.get("epochs")  # where what was reported is per cent of another budget
    return max(trial.intermediate_values, default=None) if noted is None else int(noted)


def reason_of(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("reason", ""))


def read_objectives(settings: Mapping[str, Any]) -> tuple[Objective, ...]:
    """`objective:` of a sweep.yaml: one, or a list of them."""
    value = settings.get("objective") or []
    several = value if isinstance(value, list) else [value]
    return tuple(Objective(str(one["metric"]), str(one.get("mode", "min"))) for one in several)


def read_searches(folder: Path, settings: Mapping[str, Any]) -> dict[str, Search]:
    """Every model's study out of <folder>/study.journal; none where there is no journal yet."""
    path = folder / "study.journal"
    if not path.exists():
        return {}
    named = settings.get("models")
    models = [str(model) for model in named] if isinstance(named, list) else None
    storage = journal.opened(path, models)
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    for model in set(models or ()) - {study.study_name for study in studies}:
        if any((folder / model).glob("finalist_*/result.json")):
            raise UserError(
                f"{path} must hold the search of each model with finalists, got none of {model}; put the sweep's own "
                f"journal in its place"
            )
    objectives = read_objectives(settings)
    searches = {}
    for study in studies:
        own = objectives or tuple(Objective("objective", _mode(d)) for d in study.directions)
        searches[study.study_name] = Search(study.study_name, folder, own, tuple(study.trials), study.user_attrs)
    return searches


def _mode(direction: StudyDirection) -> str:
    return "max" if direction is StudyDirection.MAXIMIZE else "min"
