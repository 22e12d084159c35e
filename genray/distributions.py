"""The kinds of ranges that a sweep searches: choice, uniform, loguniform and int, as YAML and as Optuna takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny, StrictInt, model_validator

from genray.errors import nearest
from genray.strict import Strict

if TYPE_CHECKING:
    from optuna import Trial

Value = bool | int | float | str | None
Count = int | None  # in a class that has a field `int`, that is another thing

MOST_STEPS = 10**9  # in a range: beyond, every step divides it within a rounding error
_INSIDE = (3 - math.sqrt(5)) / 2  # where in a range it is tried beside its ends: at no round number


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, got {value!r}; write one, 0.001 for example")
    return value


def _scalar(value: object) -> object:
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ValueError(
            f"a choice is a number, a text, true, false or null, got {value!r}; write each as one of these"
        )
    return value


Number = Annotated[float, BeforeValidator(_number)]


class Choice(Strict):
    """{choice: [19, 64, 128]}"""

    choice: tuple[Annotated[Any, BeforeValidator(_scalar)], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({(type(value), value) for value in self.choice}) < len(self.choice):
            raise ValueError(f"each choice stands once, got {list(self.choice)}; leave out one")
        return self

    def suggest(self, trial: Trial, name: str) -> Value:
        value: Value = trial.suggest_categorical(name, self.choice)
        return value

    def probes(self) -> tuple[Value, ...]:
        """Values that must give a valid experiment: all choices; both ends of a range and a point inside."""
        return self.choice

    @property
    def size(self) -> Count:
        """How many values there are; None for a continuous range."""
        return len(self.choice)

    def grid(self) -> tuple[Value, ...] | None:
        """Every value; None for a continuous range."""
        return self.choice


class Uniform(Strict):
    """{uniform: [0.0, 0.5]}, or {uniform: [0.0, 0.5], step: 0.1}"""

    uniform: tuple[Number, Number]
    step: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = _ordered("uniform", self.uniform)
        if self.step is None:
            return self
        if (high - low) / self.step > MOST_STEPS:
            raise ValueError(
                f"step must be at least {1 / MOST_STEPS:g} of the range, got uniform=[{low:g}, {high:g}], "
                f"step={self.step:g}; raise it, or leave it out"
            )
        if not math.isclose(self._num_steps(self.step) * self.step, high - low):
            raise ValueError(
                f"step must divide the range, got uniform=[{low:g}, {high:g}], step={self.step:g}; change one of them"
            )
        return self

    def suggest(self, trial: Trial, name: str) -> Value:
        return trial.suggest_float(name, *self.uniform, step=self.step)

    def probes(self) -> tuple[Value, ...]:
        low, high = self.uniform
        return low, high, low + (self.step or _INSIDE * (high - low))

    def _num_steps(self, step: float) -> int:
        low, high = self.uniform
        return round((high - low) / step)

    @property
    def size(self) -> Count:
        return None if self.step is None else self._num_steps(self.step) + 1

    def grid(self) -> tuple[Value, ...] | None:
        if self.step is None:
            return None
        return tuple(self.uniform[0] + i * self.step for i in range(self._num_steps(self.step) + 1))


class LogUniform(Strict):
    """{loguniform: [1.0e-4, 1.0e-2]}: uniform in the logarithm."""

    loguniform: tuple[Number, Number]

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = _ordered("loguniform", self.loguniform)
        if low <= 0:
            raise ValueError(
                f"loguniform needs low > 0, of which there is a logarithm, got [{low:g}, {high:g}]; raise low"
            )
        return self

    def suggest(self, trial: Trial, name: str) -> Value:
        return trial.suggest_float(name, *self.loguniform, log=True)

    def probes(self) -> tuple[Value, ...]:
        low, high = self.loguniform
        return low, high, low * (high / low) ** _INSIDE

    @property
    def size(self) -> Count:
        return None

    def grid(self) -> tuple[Value, ...] | None:
        return None


class Integer(Strict):
    """{int: [1, 4]}, or {int: [16, 128], step: 16}; both ends belong to it."""

    int: tuple[StrictInt, StrictInt]
    step: PositiveInt = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = _ordered("int", self.int)
        if (high - low) % self.step:
            raise ValueError(
                f"step must divide the range, got int=[{low:g}, {high:g}], step={self.step}; change one of them"
            )
        return self

    def suggest(self, trial: Trial, name: str) -> Value:
        return trial.suggest_int(name, *self.int, step=self.step)

    def probes(self) -> tuple[Value, ...]:
        low, high = self.int
        return low, high, low + self.step

    @property
    def size(self) -> Count:
        low, high = self.int
        return (high - low) // self.step + 1

    def grid(self) -> tuple[Value, ...] | None:
        low, high = self.int
        return tuple(range(low, high + 1, self.step))


def _ordered(kind: str, bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low >= high:
        raise ValueError(f"{kind} needs low < high, got [{low:g}, {high:g}]; swap them, or use a choice of one value")
    return low, high


_KINDS: dict[str, type[Choice | Uniform | LogUniform | Integer]] = {
    "choice": Choice,
    "uniform": Uniform,
    "loguniform": LogUniform,
    "int": Integer,
}


def _parse(value: object) -> object:
    """The class by the key that names the kind, so that an error speaks of that kind alone."""
    if not isinstance(value, Mapping):
        if isinstance(value, tuple(_KINDS.values())):
            return value
        raise ValueError(
            f"must be a range (kinds: {', '.join(_KINDS)}), got {value!r}; write {{uniform: [0, 0.5]}}, for example"
        )
    kinds = [key for key in value if key in _KINDS]
    if len(kinds) != 1:
        wrong = next((str(key) for key in value if key not in _KINDS), "")
        raise ValueError(f"needs one kind of range, got {list(value)}{nearest(wrong, _KINDS)}")
    cls = _KINDS[kinds[0]]
    for key in value:
        if key not in cls.model_fields:
            raise ValueError(f"{key!r} does not go with {kinds[0]}{nearest(str(key), cls.model_fields)}")
    return cls.model_validate(value)


Distribution = Annotated[
    SerializeAsAny[Choice | Uniform | LogUniform | Integer],
    BeforeValidator(_parse),
]
