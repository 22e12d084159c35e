"""Values that are checked as they come in: frozen, unknown keys refused, what is wrong said in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from genray.errors import UserError, nearest

MOST_SHOWN = 200  # characters of a value in an error


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, value: Mapping[str, Any], source: str = "") -> Self:
        """Validates plain values; the first thing wrong is raised as one line. `source` names the file in it."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise UserError(_one_line(error, source)) from None

    def plain(self) -> dict[str, Any]:
        """Values that YAML and JSON can hold."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.plain(), sort_keys=False)


def _one_line(error: ValidationError, source: str) -> str:
    """Pydantic's first error as `source: a.b: what is wrong, got …`, with the nearest key for an unknown one."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if first["type"] == "extra_forbidden":
        message = f"unknown key{nearest(str(first['loc'][-1]), _known_keys(error.title, first['loc'][:-1]))}"
    elif first["type"] == "missing":
        message = "is required; add it"
    elif first["type"] != "value_error":
        given = repr(first["input"])
        message += f", got {given if len(given) <= MOST_SHOWN else given[:MOST_SHOWN] + '…'}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return ": ".join(part for part in (source, where, message) if part).replace("\n", " ") + more


def _known_keys(title: str, path: tuple[int | str, ...]) -> list[str]:
    """Field names of the `Strict` that stands at `path` below the class named `title`."""
    classes = {c.__name__: c for c in _subclasses(Strict)}
    fields = classes[title].model_fields if title in classes else {}
    for part in path:
        annotation = fields[str(part)].annotation if str(part) in fields else None
        kinds = [annotation, *get_args(annotation)]  # of `Budget | None` too
        fields = next((kind.model_fields for kind in kinds if hasattr(kind, "model_fields")), {})
    return list(fields)


def _subclasses(cls: type[BaseModel]) -> Iterable[type[BaseModel]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)
