"""A study from its question to its page. All that can be refused is refused before Ray is imported."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from genray import studies
from genray.cluster import environment, parts
from genray.cluster.parts import Asked, Record, Shelf
from genray.errors import Fault, UserError
from genray.report import drawing
from genray.report import study as report
from genray.report.words import counted, duration
from genray.studies.base import Budget, Part

Keep = Callable[[Part, Record], object]


def ask(
    name: str,
    *,
    out: Path | str,
    budget: str = "quick",
    resume: bool = False,
    address: str | None = None,
    verbose: bool = False,
) -> dict[str, Any]:
    """Does the parts that the folder `out` lacks, writes the answer there and returns what study.json holds.

    Raises UserError before anything starts, Fault where parts failed, and KeyboardInterrupt on Ctrl-C; what was done is
    kept, and `resume` goes on from there.
    """
    study = studies.load(name)
    out, asked = Path(out).absolute(), Asked(name, _budget(budget))
    parts.check(out, asked, resume=resume)
    work = study.parts(asked.budget)
    done = Shelf(out).records(work)
    if missing := [part for part in work if part.name not in done]:
        _tell(f"{name}: {counted(len(work), 'part')}, {len(missing)} to do; in {out}")
        _do(missing, out, asked, address, verbose)
    with parts.opened(out, asked) as shelf, drawing.style():
        done = shelf.records(work)
        answer = study.answer({part: record.outcome for part, record in done.items()}, asked.budget)
        cost = report.Cost(len(work), sum(record.seconds for record in done.values()))
        return report.write(name, study.QUESTION, answer, asked.budget, cost, out)


def _budget(name: str) -> Budget:
    if name not in get_args(Budget):
        raise UserError(f"budget must be {' or '.join(get_args(Budget))}, got {name!r}; give one of them")
    return cast("Budget", name)


def _do(missing: Sequence[Part], out: Path, asked: Asked, address: str | None, verbose: bool) -> None:
    """The parts on Ray. Those that failed end the study after all others are done."""
    _tell("starting Ray")
    environment.prepare(address)

    from genray.cluster import resources, tasks

    with (
        resources.connected(address, data_bytes=0, verbose=verbose),
        resources.terminated_like_interrupted(),
        parts.opened(out, asked) as shelf,
    ):
        failed = tasks.do(missing, _counting(shelf.keep, len(missing)), _tell)
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise Fault(f"{len(failed)} of {counted(len(missing), 'part')} failed: {reasons}; --resume tries them again")


def _counting(keep: Keep, count: int) -> Keep:
    """`keep`, which tells how far the work is."""
    started, done = time.monotonic(), 0

    def keep_and_tell(part: Part, record: Record) -> None:
        nonlocal done
        keep(part, record)
        done += 1
        elapsed = time.monotonic() - started
        left = f", about {duration(elapsed / done * (count - done))} left" if done < count else ""
        _tell(f"[{duration(elapsed)}{left}]  {done}/{count}  {part.name}, {duration(record.seconds)}")

    return keep_and_tell


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
