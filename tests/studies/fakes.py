"""A study without any work: its parts square numbers, and can be told to fail."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from genray.errors import UserError
from genray.report import drawing
from genray.report.answer import Answer, Check, Figure, Table
from genray.studies.base import Budget, Outcome, Part, Pieces, Saved


def square(number: float, count: str = "", failures: int = 0, seconds: float = 0.0) -> Outcome:
    """Fails as often as told; `count` is a file that holds a line for each time that it was done."""
    if count:
        with Path(count).open("a") as file:
            file.write(f"{number}\n")
        if Path(count).read_text().split().count(str(number)) <= failures:
            raise ArithmeticError("the square did not come out")
    time.sleep(seconds)
    return {"square": number * number}


def outcome_of(part: Part, saved: bytes | None = None) -> Outcome:
    """Of a part that is not cut off, or not again."""
    pieces = part.pieces(saved)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return cast("Outcome", end.value)


def without_times(outcome: Outcome) -> Outcome:
    """Of runs, without how long their training took."""
    return {"runs": [{key: v for key, v in run.items() if key != "train_seconds"} for run in outcome["runs"]]}


def climb(steps: int, deaths: str = "", seconds: float = 0.0, saved: bytes | None = None) -> Pieces:
    """Counts to `steps` and saves each; the outcome holds the steps of its process. With a file `deaths`, the first
    process to be at half of them dies there."""
    own = []
    for step in range(int(saved or b"0") + 1, steps + 1):
        time.sleep(seconds)
        if deaths and step == steps // 2 and not Path(deaths).exists():
            Path(deaths).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        own.append(step)
        yield Saved(str(step).encode(), f"step {step} of {steps}")
    return {"square": steps * steps, "own": own}


def die(seconds: float = 0.0) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def lack(what: str) -> Outcome:
    raise UserError(f"{what} is not there; download it")


class Squares:
    """`genray.studies.<name>` as a module would be."""

    PARTIAL = True
    QUESTION = "Do squares grow <faster> than their roots?"

    def __init__(self, *parts: Part) -> None:
        self.work = parts

    def parts(self, budget: Budget) -> Sequence[Part]:
        return self.work

    def answer(self, outcomes: Mapping[str, Outcome], budget: Budget) -> Answer:
        squares = {name: outcome["square"] for name, outcome in outcomes.items()}
        figure, [ax] = drawing.panels(size=(6, 3))
        ax.plot(list(squares.values()), label="square")
        ax.set_xlabel("root")
        ax.legend()
        return Answer(
            summary=["They do, from 2 on.", "Below 1 they do not."],
            checks=[
                Check("4 is above 2", "4.0 ± 0.1", "holds"),
                Check("a | b < c", "1 at 0.5", "does not hold"),
                Check("2 is a root of 5", "2.1 ± 0.4", "not decided"),
            ],
            tables=[Table("All squares", ["root", "square"], [[n, f"{s:g}"] for n, s in squares.items()], "No note.")],
            figures=[Figure("squares", "Squares by root", "Look at the bend.", figure)],
            data={"squares": squares},
        )


def install(monkeypatch: pytest.MonkeyPatch, study: Squares) -> None:
    """Under the name `squares`."""
    monkeypatch.setattr("genray.studies.load", lambda name: study)
