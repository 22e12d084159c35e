"""Real numbers of a model, such as a dropout or a loss weight, as tensors: what members of a pack each have of their
own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from genray.models.base import GenerativeModel
from genray.settings import ModelConfig

Place = tuple[str, str, str]  # a module's name, its attribute, and of a configuration its field


class Number:
    """A number other than 0 in the place of a float: a 0-d tensor wherever it meets numbers or tensors. It cannot be
    ordered, as what is larger for one member is smaller for another: a loss that branches on that raises TypeError.
    """

    def __init__(self, value: Tensor) -> None:
        self._value = value

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: object, arguments: Any = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        return function(*tree_map(_plain, arguments), **tree_map(_plain, dict(named or {})))

    def __add__(self, other: float | Tensor | Number) -> Tensor:
        return torch.add(self._value, _plain(other))

    def __sub__(self, other: float | Tensor | Number) -> Tensor:
        return torch.sub(self._value, _plain(other))

    def __rsub__(self, other: float | Tensor) -> Tensor:
        return torch.rsub(self._value, _plain(other))

    def __mul__(self, other: float | Tensor | Number) -> Tensor:
        return torch.mul(self._value, _plain(other))

    def __truediv__(self, other: float | Tensor | Number) -> Tensor:
        return torch.div(self._value, _plain(other))

    def __rtruediv__(self, other: float | Tensor) -> Tensor:
        return torch.mul(self._value.reciprocal(), _plain(other))

    def __pow__(self, other: float | Tensor | Number) -> Tensor:
        return torch.pow(self._value, _plain(other))

    def __neg__(self) -> Tensor:
        return torch.neg(self._value)

    __radd__, __rmul__ = __add__, __mul__


def _plain(value: Any) -> Any:
    return value._value if isinstance(value, Number) else value


def numbers_of(model: GenerativeModel) -> dict[Place, float]:
    """All floats among the attributes of a model's modules, and in their configurations."""
    found: dict[Place, float] = {}
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, float):
                found[name, attribute, ""] = value
            elif isinstance(value, ModelConfig):
                found |= {(name, attribute, field): held for field, held in value if isinstance(held, float)}
    return found


@contextlib.contextmanager
def replaced(model: GenerativeModel, places: Sequence[Place], values: Tensor) -> Iterator[None]:
    """Inside, the model has `values` (K,) in K places of its numbers."""
    numbers = dict(zip(places, map(Number, values.unbind()), strict=True))
    before = []
    try:
        for (name, attribute, field), number in numbers.items():
            held = vars(model.get_submodule(name))
            before.append((held, attribute, held[attribute]))
            held[attribute] = held[attribute].model_copy(update={field: number}) if field else number
        yield
    finally:
        for held, attribute, value in reversed(before):
            held[attribute] = value


def tensor_of(numbers: Mapping[Place, float], places: Sequence[Place], device: torch.device) -> Tensor:
    """Those of one model in these places, (K,)."""
    return torch.tensor([numbers[place] for place in places], dtype=torch.get_default_dtype(), device=device)
