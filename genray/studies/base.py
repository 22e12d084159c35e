"""What a study declares; `genray.cluster.tasks` does its parts, `genray.report.study` shows its answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, cast

from genray.report.answer import Answer

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
