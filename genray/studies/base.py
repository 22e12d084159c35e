"""What a study declares; `genray.cluster.tasks` does its parts, `genray.report.study` shows its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Budget = Literal["quick", "full"]
Outcome = dict[str, Any]  # plain values that JSON holds


@dataclass(frozen=True)
class Part:
    """A piece of a study's work that one process does, in minutes at most. Its outcome is kept: what is done is not
    done again."""

    name: str  # unique in the study and good for a file: "ring-pacgan-3"
    run: Callable[..., Outcome]  # a function of a module, called with `arguments`
    arguments: Mapping[str, Any] = field(default_factory=dict)  # plain values


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


class Study(Protocol):
    """A file of this folder."""

    QUESTION: str  # one line

    def parts(self, budget: Budget) -> Sequence[Part]:
        """All of the work, which can be done in any order."""

    def answer(self, outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
        """From the outcome of every part, by name."""
