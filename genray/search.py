"""How a sweep searches: for what, by which sampler, what it stops early, and what it trains again at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from genray import metrics
from genray.errors import nearest
from genray.strict import Strict

MOST_PERCENT = 100
SAMPLERS = ("tpe", "random", "grid", "nsga2")


class Objective(Strict):
    """What is searched for, on the validation split: a score, or `train_seconds`."""

    metric: str
    mode: Literal["min", "max"]  # where it is left out, the end at which the score is good

    @model_validator(mode="before")
    @classmethod
    def _good_end(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "mode" in value:
            return value
        score = metrics.scores().get(str(value.get("metric")))
        if score is not None and score.better == "none":
            raise ValueError(f"{value['metric']} is good at neither end of its scale; set mode to min or max")
        return {**value, "mode": "max" if score is not None and score.better == "higher" else "min"}

    @property
    def key(self) -> str:
        """Its name in a row of metrics.jsonl."""
        return self.metric if self.metric == "train_seconds" else f"validation/{self.metric}"

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        return "minimize" if self.mode == "min" else "maximize"


def _known_sampler(value: object) -> object:
    if value not in SAMPLERS:
        raise ValueError(f"{value!r} is not a sampler{nearest(str(value), SAMPLERS)}")
    return value


class Optuna(Strict):
    sampler: Annotated[Literal["tpe", "random", "grid", "nsga2"], BeforeValidator(_known_sampler)] = "tpe"
    seed: NonNegativeInt = 0


class Asha(Strict):
    """Asynchronous successive halving (Li et al. 2020): at grace, grace·r, grace·r² … the best 1/r go on."""

    grace_epochs: PositiveInt | None = None
    grace_percent: int | None = Field(default=None, ge=1, le=99)  # of a budget in seconds or images
    reduction: int = Field(default=3, ge=2)

    @property
    def grace(self) -> int:
        """In epochs, or in per cent of a budget that is not in epochs."""
        return self.grace_epochs or self.grace_percent or 5


class Median(Strict):
    """Stops a trial that is worse than the median of the earlier ones at the same epoch."""

    grace_epochs: PositiveInt = 5
    startup_trials: PositiveInt = 4  # that are never stopped


class Scheduler(Strict):
    """Early stopping within one model: one of the two."""

    asha: Asha | None = None
    median: Median | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [key for key, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"scheduler takes one of asha, median and none, got {' and '.join(given) or 'neither'}; write one"
            )
        return self


def scheduler_or_none(value: object) -> object:
    """`none`, or {name: options}, where no options may be written as nothing."""
    if value == "none":
        return None
    named = value if isinstance(value, Mapping) else {value: None} if isinstance(value, str) else {}
    for name in named:
        if name not in Scheduler.model_fields:
            raise ValueError(f"{name!r} is not a scheduler{nearest(str(name), ['asha', 'median', 'none'])}")
    return {name: options or {} for name, options in named.items()} if named else value


def _known_pack(value: object) -> object:
    if value != "auto" and not (type(value) is int and value >= 1):
        raise ValueError(f"pack must be auto or a number of seeds >= 1, got {value!r}; write auto")
    return value


class Finalists(Strict):
    """The best configuration of each model, trained again with fresh seeds and scored on the test split."""

    seeds: int = Field(default=5, gt=0, le=1000)
    pack: Annotated[Literal["auto"] | PositiveInt, BeforeValidator(_known_pack)] = "auto"  # see Sweep.pack_size
