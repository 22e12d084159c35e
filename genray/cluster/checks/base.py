"""One line of the doctor's: how it stands, what was found, and where it is not well, what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "FAIL"]
Facts = Mapping[str, Mapping[str, Any]]  # by the machine's name, what `Probe.facts` says


@dataclass(frozen=True)
class Check:
    name: str
    level: Level
    found: str
    fix: str = ""

    @property
    def line(self) -> str:
        text = f"{self.level:4}  {self.name:12}  {self.found}"
        return " ".join(f"{text}; {self.fix}".splitlines()) if self.fix else text


def ok(name: str, found: str) -> Check:
    return Check(name, "ok", found)


def warn(name: str, found: str, fix: str) -> Check:
    return Check(name, "warn", found, fix)


def fail(name: str, found: str, fix: str) -> Check:
    return Check(name, "FAIL", found, fix)


def each(values: Mapping[str, str]) -> str:
    """`2.15.0 on a and b, 2.13.0 on c`, or the value alone where all have the same."""
    nodes: dict[str, list[str]] = {}
    for node, value in values.items():
        nodes.setdefault(value, []).append(node)
    if len(nodes) == 1 and len(values) > 1:
        return next(iter(nodes))
    return ", ".join(f"{value} on {joined(names)}" for value, names in nodes.items())


def joined(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and 5 more`"""
    *first, last = list(names) or ["none"]
    if len(first) > 5:
        return f"{', '.join(first[:5])} and {len(first) - 4} more"
    return f"{', '.join(first)} and {last}" if first else last


def gigabytes(count: float) -> str:
    """`2.4 GB`"""
    return f"{count / 1e9:.1f} GB"
