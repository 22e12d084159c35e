"""What a study declares; `genray.cluster.tasks` does its parts, `genray.report.study` shows its answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Budget = Literal["quick", "full"]
Outcome = dict[str, Any]  # plain values that JSON holds


class Saved(NamedTuple):
    """What work that is cut off here goes on from."""

    state: bytes
    reached: str  # for whoever waits: "epoch 40 of 364"


Pieces = Generator[Saved, None, Outcome]  # long work, in pieces from one saved state to the next


@dataclass(frozen=True)
class Part:
    """What of a study's work one process does. Its outcome is kept: what is done is not done again.

    What takes longer than minutes is a generator function: it is called with `saved` too, the state that it yielded
    last before it was cut off, or None, and returns what it would have returned uncut.
    """

    name: str  # unique in the study and good for a file: "ring-pacgan-3"
    run: Callable[..., Outcome | Pieces]  # a function of a module, called with `arguments`
    arguments: Mapping[str, Any] = field(default_factory=dict)  # plain values
    gpu: float = 0.0  # share of a GPU that it takes where there is one

    def pieces(self, saved: bytes | None = None) -> Pieces:
        """The work, from where it was cut off; in one piece, where it is no generator."""
        if inspect.isgeneratorfunction(self.run):
            outcome: Outcome = yield from self.run(**self.arguments, saved=saved)
            return outcome
        return cast("Outcome", self.run(**self.arguments))


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
        """From the outcome of every part, by name; with PARTIAL = True in its file, of those that there are."""


class Changeable(Study, Protocol):
    """A study of which more can be told than a budget."""

    def changed(self, overrides: Mapping[str, Any]) -> Study:
        """With values of `--set`. Its `parts` raises UserError for keys or values that it does not take."""
