"""What the page of a study shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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


Verdict = Literal["holds", "does not hold", "not decided"]


class Check(NamedTuple):
    """A claim of the theory, and whether the numbers bear it out, speak for the contrary, or decide nothing."""

    claim: str
    found: str  # the numbers, with their interval
    verdict: Verdict


def verdict_of(within: bool) -> Verdict:
    """Of a check that asks for a bound, not for a test: it always decides."""
    return "holds" if within else "does not hold"


def tally(verdicts: Sequence[str]) -> str:
    """`0 of 8 claims hold, 8 not decided`"""
    held, undecided = verdicts.count("holds"), verdicts.count("not decided")
    said = f"{held} of {len(verdicts)} {'claim holds' if len(verdicts) == 1 else 'claims hold'}"
    return f"{said}, {undecided} not decided" if undecided else said


@dataclass(frozen=True)
class Answer:
    summary: Sequence[str]  # sentences
    checks: Sequence[Check]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    data: dict[str, Any]  # what the tables and figures are made from
