"""Keys with dots: "model.hidden" is `hidden` under `model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    result = dict(tree)
    for dotted, value in values.items():
        result = with_value(result, dotted.split("."), value)
    return result


def with_value(tree: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """The same for one value, by the keys on the way to it."""

    def put(tree: Mapping[str, Any], key: str, *rest: str) -> dict[str, Any]:
        if not rest:
            return {**tree, key: value}
        inner = {} if tree.get(key) is None else tree[key]
        if not isinstance(inner, Mapping):
            raise UserError(f"{'.'.join(path)}: {key!r} holds a value, not a group of keys; set {key!r} itself")
        return {**tree, key: put(inner, *rest)}

    return put(tree, *path)


def parse_overrides(assignments: Iterable[str]) -> dict[str, Any]:
    """`key=value` texts of `--set` → dotted keys and YAML values."""
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(f"--set takes key=value, got {assignment!r}; for example --set model.hidden=64")
        values[key] = parse_yaml(text, f"--set {key}")
    return values
