"""Keys with dots: "model.hidden" is `hidden` under `model`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from genray.errors import UserError
from genray.files import parse_yaml


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}"""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def with_values(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `tree` with dotted keys set: {"model.hidden": 64} reaches tree["model"]["hidden"]."""
    result = copy.deepcopy(dict(tree))
    for dotted, value in values.items():
        *path, last = dotted.split(".")
        place = result
        for key in path:
            if place.get(key) is None:
                place[key] = {}
            if not isinstance(place[key], dict):
                raise UserError(
                    f"{dotted}: {key!r} holds a value, not a group of keys, so {dotted!r} cannot be set; set {key!r}"
                )
            place = place[key]
        place[last] = value
    return result


def parse_overrides(assignments: Iterable[str]) -> dict[str, Any]:
    """`key=value` texts of `--set` → dotted keys and YAML values."""
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(f"--set takes key=value, got {assignment!r}; for example --set model.hidden=64")
        values[key] = parse_yaml(text, f"--set {key}")
    return values
