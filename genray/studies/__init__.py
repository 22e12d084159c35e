"""One file a study: a named question, the work that answers it, and the answer. There is no registry."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from genray.errors import UserError, nearest

if TYPE_CHECKING:
    from genray.studies.base import Changeable, Study


def names() -> list[str]:
    """The studies that are there: this folder's files, but for `base` and those that begin with an underscore."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def load(name: str) -> Study:
    """The file of a study, by its name."""
    if name not in names():
        raise UserError(f"{name!r} is not a study{nearest(name, names())}")
    return cast("Study", importlib.import_module(f"genray.studies.{name}"))


def changed(study: Study, name: str, overrides: Mapping[str, Any]) -> Study:
    """The study as `--set` has it. Raises UserError for one that has a budget alone."""
    if not overrides:
        return study
    if not hasattr(study, "changed"):
        raise UserError(f"study {name} takes no --set, got {', '.join(overrides)}; leave it out")
    return cast("Changeable", study).changed(overrides)
