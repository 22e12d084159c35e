"""Values that are checked as they come in: frozen, unknown keys refused, what is wrong said in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from genray.errors import UserError, nearest
from genray.files import to_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST_SHOWN = 200  # characters of a value in an error

_WHOLE, _NUMBER = "write a whole number, 3 for example", "write a number, 0.5 for example"
_LIST, _KEYS = "write a list, [a, b] for example", "write lines of `key: value` below it"
_FIXES = {  # of each type of error that pydantic finds, with what it tells of it
    "greater_than": "raise it above {gt}",
    "greater_than_equal": "raise it to at least {ge}",
    "less_than": "lower it below {lt}",
    "less_than_equal": "lower it to at most {le}",
    "finite_number": "write it in digits",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "string_type": "write a text, in quotes where it would be read as another thing",
    "string_too_short": "write at least {min_length}",
    "string_pattern_mismatch": "write it as the pattern has it",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "dict_type": _KEYS,
    "model_type": _KEYS,
}
_UNION = re.compile(r"constrained-\w+|literal\[.*")  # names that pydantic gives to the kinds that one value may be of


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
        return to_yaml(self.plain())


def _one_line(error: ValidationError, source: str) -> str:
    """Pydantic's first error as `source: a.b: what is wrong, got …; what to do`, with the nearest key for an unknown
    one."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if not _UNION.fullmatch(str(part)))
    message = first["msg"].removeprefix("Value error, ").removesuffix(", got a number with a fractional part")
    message = message[:1].lower() + message[1:]
    if first["type"] == "extra_forbidden":
        message = f"unknown key{nearest(str(first['loc'][-1]), _known_keys(error.title, first['loc'][:-1]))}"
    elif first["type"] == "missing":
        message = "is required; add it"
    elif first["type"] != "value_error":
        given = repr(first["input"])
        message += f", got {given if len(given) <= MOST_SHOWN else given[:MOST_SHOWN] + '…'}; {_fix(first)}"
    more = f" (the first of {error.error_count()} errors)" if error.error_count() > 1 else ""
    return ": ".join(part for part in (source, where, message) if part).replace("\n", " ") + more


def _fix(error: ErrorDetails) -> str:
    told = error.get("ctx", {})
    if error["type"] == "literal_error":
        words = re.findall(r"'([^']*)'", told["expected"])
        [closest] = difflib.get_close_matches(str(error["input"])[:MOST_SHOWN], words, n=1, cutoff=0)
        return f"write {closest}" if len(words) == 1 else f"write {closest}, for example"
    if isinstance(above := told.get("gt"), int):
        return f"raise it to at least {above + 1}"
    shown = {key: f"{value:g}" if isinstance(value, float) else value for key, value in told.items()}
    return _FIXES.get(error["type"], "give another value").format(**shown)


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
