"""A sweep: which models, over which ranges, how they are searched and how the best are judged. Checked at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_serializer,
    model_validator,
)

from genray import metrics, models, schema
from genray.config import Budget, Experiment
from genray.distributions import Distribution, Value
from genray.errors import UserError, nearest
from genray.overrides import with_value, with_values
from genray.search import MOST_PERCENT, Asha, Finalists, Median, Objective, Optuna, Scheduler, scheduler_or_none
from genray.strict import Strict
from genray.train.alike import why_apart

_NOT_SEARCHED = {  # what all trials of all models must share
    "dataset": "trials would not be compared on the same images",
    "image_size": "trials would not be compared on the same images",
    "metrics": "trials would not be judged alike",
    "extractor": "trials would not be judged alike",
    "num_samples": "trials would not be judged alike",
    "sampled_from": "trials would not be judged alike",
    "epochs": "trials would not have the same budget",
    "budget": "trials would not have the same budget",
    "evaluate_every": "trials would not be stopped by the same rule",
    "checkpoint_every": "it does not change the result",
    "workers": "trials would not have the same machines",
    "resources": "trials would not have the same machines",
    "model.name": "models are named under `models`",
    "model": "its keys are searched one by one, model.hidden for example",
}

MOST_POINTS = 100_000  # of a grid, which Optuna makes whole for every trial: 0.3 s

Search = dict[str, Distribution]
Found = TypeVar("Found")


class Sweep(Strict):
    """`experiment` is what all trials share, without `model.name`; `search` is over every model; `model_search` adds
    ranges for one model, or replaces them.
    """

    name: str = Field(default="sweep", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    experiment: dict[str, Any] = Field(default={})
    models: tuple[str, ...] = Field(min_length=1)
    search: Search = Field(default={})
    model_search: dict[str, Search] = Field(default={})
    objective: Annotated[
        tuple[Objective, ...],
        Field(min_length=1, max_length=2),
        BeforeValidator(lambda value: [value] if isinstance(value, Mapping | Objective) else value),
    ] = (Objective(metric="frechet", mode="min"),)
    trials: PositiveInt | None = None  # a model; None, with the grid sampler: the whole grid
    optuna: Optuna = Optuna()
    scheduler: Annotated[Scheduler | None, BeforeValidator(scheduler_or_none)] = None
    finalists: Finalists = Finalists()
    controls: bool = True  # rows in the comparison that every metric must place right
    lanes: PositiveInt | None = None  # trials at once, or packs of them; None: as many as the machine holds
    pack: PositiveInt = 1  # trials of the same shapes that train as one, with the resources of one
    max_failures: NonNegativeInt = 1  # times that a trial whose process died is begun again, from its checkpoint
    trial_timeout_s: PositiveFloat | None = None  # from a run's one evaluated row to the next, or else it hangs
    start_timeout_s: PositiveFloat = 900.0  # that no machine has room for any trial, before the sweep ends

    @classmethod
    def load(cls, path: Path | str, overrides: Mapping[str, Any] | None = None) -> Self:
        """A YAML file with values set on top: {"experiment.epochs": 5, "search.model.hidden": {"choice": [64]}}."""
        (tree, _), overrides = schema.read_sweep(Path(path)), overrides or {}
        if isinstance(chosen := overrides.get("models"), list) and isinstance(own := tree.get("model_search"), dict):
            tree["model_search"] = {model: search for model, search in own.items() if model in chosen}
        for key, value in overrides.items():
            tree = with_value(tree, _path(key), value)
        return cls.parse(tree, str(path))

    @field_serializer("objective")
    def _one_or_list(self, objective: tuple[Objective, ...]) -> Any:
        plain = [o.plain() for o in objective]
        return plain[0] if len(plain) == 1 else plain

    @field_serializer("scheduler")
    def _named_or_none(self, scheduler: Scheduler | None) -> Any:
        return None if scheduler is None else scheduler.model_dump(mode="json", exclude_none=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_models()
        self._check_rules()
        for experiment in self.probes():
            self._check_objective(experiment)
            self._check_grace(experiment.limit)
        return self

    def _check_models(self) -> None:
        for name in (*self.models, *self.model_search):
            if name not in models.names():
                raise ValueError(f"models: {name!r} is not a model{nearest(name, models.names())}")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models: each stands once, got {', '.join(self.models)}; leave out one")
        for name in self.model_search:
            if name not in self.models:
                raise ValueError(f"model_search: {name!r} is not among models{nearest(name, self.models)}")
        if isinstance(model := self.experiment.get("model", {}), Mapping) and "name" in model:
            raise ValueError(
                f"experiment.model.name: models are named under `models`, got {model['name']!r} here; remove it"
            )

    def _check_rules(self) -> None:
        for key in {key for model in self.models for key in self.space(model)}:
            for fixed, reason in _NOT_SEARCHED.items():
                if key == fixed or (fixed != "model" and key.startswith(f"{fixed}.")):
                    raise ValueError(f"search: {key!r} cannot be searched: {reason}; set experiment.{key} instead")
        if len(self.objective) == 2 and self.scheduler is not None:
            which = " and ".join(objective.metric for objective in self.objective)
            raise ValueError(
                f"with two objectives neither alone says what to stop, got {which}; set scheduler to none, "
                f"or leave out one of them"
            )
        if self.pack > 1 and any(objective.metric == "train_seconds" for objective in self.objective):
            raise ValueError(
                f"train_seconds cannot be compared of trials that share a device, got pack={self.pack}; set it to 1"
            )
        if self.optuna.sampler == "grid":
            self._check_grid()
        elif self.trials is None:
            raise ValueError(
                f"trials is required with every sampler but grid, got optuna.sampler={self.optuna.sampler}; "
                f"set how many a model gets"
            )

    def _check_grace(self, limit: Budget) -> None:
        """Early stopping counts in epochs where the budget does, else in per cent of it."""
        match self.scheduler:
            case Scheduler(asha=Asha(grace_epochs=int(grace))) if limit.epochs is None:
                raise ValueError(
                    f"scheduler.asha.grace_epochs needs a budget in epochs, got grace_epochs={grace}, {limit.text}; "
                    f"set grace_epochs to null, and grace_percent"
                )
            case Scheduler(asha=Asha(grace_percent=int(grace))) if limit.epochs is not None:
                raise ValueError(
                    f"scheduler.asha.grace_percent needs a budget in seconds or images, got grace_percent={grace}, "
                    f"{limit.text}; set grace_epochs"
                )
            case Scheduler(median=Median()) if limit.epochs is None:
                raise ValueError(
                    f"scheduler.median needs a budget in epochs, where trials meet, got {limit.text}; "
                    f"set scheduler to asha or none"
                )

    def _check_grid(self) -> None:
        sizes = {model: self.grid_size(model) for model in self.models}
        large = max(sizes, key=lambda model: sizes[model])
        if sizes[large] > MOST_POINTS:
            raise ValueError(
                f"a grid must have <= {MOST_POINTS} points, got {large}={sizes[large]:.6g}; raise a step, give fewer "
                f"choices, or set optuna.sampler to random"
            )
        if self.trials is None and len(set(sizes.values())) > 1:
            raise ValueError(
                f"trials is required where models' grids differ in size, got {sizes}; "
                f"set it to {min(sizes.values())} or less"
            )
        small = min(sizes, key=lambda model: sizes[model])
        if self.trials is not None and self.trials > sizes[small]:
            raise ValueError(
                f"trials must be <= the points of the grid, got trials={self.trials}, {small}={sizes[small]}; "
                f"lower trials"
            )

    def _check_objective(self, experiment: Experiment) -> None:
        known = {"train_seconds"}.union(*(metrics.load(name).SCORES for name in experiment.metrics))
        for name in (objective.metric for objective in self.objective):
            if name not in known:
                raise ValueError(f"objective: no metric of the experiment gives {name!r}{nearest(name, known)}")

    @property
    def num_trials(self) -> int:
        """Trials of each model."""
        return self.trials or self.grid_size(self.models[0])

    @property
    def most_resource(self) -> int:
        """What early stopping counts up to: epochs, or per cent of a budget that is not in epochs."""
        return self.first_experiment(self.models[0]).epochs or MOST_PERCENT

    def space(self, model: str) -> Search:
        """All that is searched for one model, in the order of names, however the YAML is written."""
        return dict(sorted((self.search | self.model_search.get(model, {})).items()))

    def grid(self, model: str) -> dict[str, tuple[Value, ...]]:
        """The values of each key, for the grid sampler."""
        return {key: self._refuse_continuous(key, d.grid()) for key, d in self.space(model).items()}

    def _refuse_continuous(self, key: str, found: Found | None) -> Found:
        if found is None:
            raise ValueError(f"search: {key!r} is continuous, which a grid cannot hold; give it a step or a choice")
        return found

    def grid_size(self, model: str) -> int:
        """Points of the grid, counted without making it."""
        sizes = [self._refuse_continuous(key, d.size) for key, d in self.space(model).items()]
        return math.prod(sizes)

    def experiment_of(self, model: str, params: Mapping[str, Value], *, seed: int | None = None) -> Experiment:
        """The experiment of one trial. `seed` replaces the trial's own, for a finalist."""
        values = {"model.name": model, **params} | ({} if seed is None else {"seed": seed})
        return Experiment.parse(with_values(self.experiment, values))

    def first_experiment(self, model: str) -> Experiment:
        """At the first end of every range: a member of the space."""
        return self.experiment_of(model, {key: d.probes()[0] for key, d in self.space(model).items()})

    def probes(self) -> Iterator[Experiment]:
        """For each model, the ends of every range and a point inside it, the other keys at their first end."""
        for model in self.models:
            space = self.space(model)
            first = {key: distribution.probes()[0] for key, distribution in space.items()}
            points = [("experiment", first)]
            points += [(f"search: {key}", first | {key: value}) for key, d in space.items() for value in d.probes()[1:]]
            for where, point in points:
                try:
                    yield self.experiment_of(model, point)
                except UserError as error:
                    raise ValueError(f"{where} ({model}): {error}") from None

    @property
    def trial_pack_size(self) -> int:
        """Trials of a model that train as one, with the resources of one."""
        return self.pack if why_apart([self.first_experiment(self.models[0])]) is None else 1

    @property
    def pack_size(self) -> int:
        """Finalists of a model that train as one, with the resources of one run. Where `experiment.resources.gpu` is
        not set, it counts as 0.
        """
        first = self.first_experiment(self.models[0])
        if why_apart([first]) is not None:
            return 1
        auto = self.finalists.seeds if first.resources.gpu else 1  # benchmarks/packing.py: on CPUs a pack is slower
        return auto if self.finalists.pack == "auto" else min(self.finalists.pack, self.finalists.seeds)

    def finalist_seeds(self) -> tuple[int, ...]:
        """Fresh: above every seed that the search can use."""
        used = [self.first_experiment(self.models[0]).seed]
        for model in self.models:
            if (searched := self.space(model).get("seed")) is not None:
                used += [int(value) for value in searched.probes() if value is not None]
        return tuple(range(max(used) + 1, max(used) + 1 + self.finalists.seeds))


def _path(key: str) -> list[str]:
    """Keys of a search hold dots themselves: search.model.hidden, model_search.vae.model.hidden."""
    parts = key.split(".")
    depth = {"search": 1, "model_search": 2}.get(parts[0], len(parts) - 1)
    path = [*parts[:depth], ".".join(parts[depth:])]
    if not path[-1]:
        raise UserError(f"--set {key} does not say what is searched; write {key}.model.hidden, for example")
    return path
