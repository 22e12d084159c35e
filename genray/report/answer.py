"""What the page of a study shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class Table(NamedTuple):
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


class Figure(NamedTuple):
    name: str  # of the PNG
    title: str
    caption: str  # what is shown, and what to look for
    drawing: Drawing


class Check(NamedTuple):
    """A claim of the theory, and whether the numbers bear it out."""

    claim: str
    found: str  # the numbers, with their interval
    holds: bool


@dataclass(frozen=True)
class Answer:
    summary: Sequence[str]  # sentences
    checks: Sequence[Check]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    data: dict[str, Any]  # what the tables and figures are made from
