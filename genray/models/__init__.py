"""One file a model. `load("vae")` imports `genray.models.vae`; there is no registry to add a name to."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from genray.errors import UserError, nearest

if TYPE_CHECKING:
    from genray.models.base import GenerativeModel


def names() -> list[str]:
    """The models that are there: this folder's files, but for `base`."""
    return list(_names(tuple(__path__)))


@functools.cache  # an experiment asks often, and each time a folder is read takes 0.3 ms
def _names(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if module.name != "base"))


def load(name: str) -> type[GenerativeModel]:
    """The class of a model by the name of its file."""
    if name not in names():
        raise UserError(f"{name!r} is not a model{nearest(name, names())}")
    model: type[GenerativeModel] = importlib.import_module(f"genray.models.{name}").Model
    return model
