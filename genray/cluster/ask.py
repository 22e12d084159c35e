"""A study from its question to its page. All that can be refused is refused before Ray is imported."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from genray import studies
from genray.cluster import environment, parts
from genray.cluster.parts import Asked, Begun, Record, Shelf
from genray.errors import Fault, UserError
from genray.report import drawing
from genray.report import study as report
from genray.report.answer import Answer
from genray.report.words import counted, duration
from genray.studies.base import Budget, Part, Study

Keep = Callable[[Part, Begun | Record], object]


def ask(
    name: str,
    *,
    out: Path | str,
    budget: str = "quick",
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    minutes: float | None = None,
    address: str | None = None,
    verbose: bool = False,
) -> dict[str, Any]:
    """Does the parts that the folder `out` lacks, writes the answer there and returns what study.json holds. After
    `minutes` it answers from what there is.

    Raises UserError before anything starts, Fault where parts failed, and KeyboardInterrupt on Ctrl-C; what was done is
    kept, answered from where the study can, and `resume` goes on from there.
    """
    study = studies.changed(studies.load(name), name, overrides or {})
    partial = getattr(study, "PARTIAL", False)
    if minutes is not None:
        _check_minutes(name, minutes, partial)
    out, asked = Path(out).absolute(), Asked(name, _budget(budget), dict(overrides or {}))
    parts.check(out, asked, resume=resume)
    work = study.parts(asked.budget)
    done = Shelf(out).records(work)
    if missing := [part for part in work if part.name not in done]:
        begun = Shelf(out).begun(missing)
        _tell(f"{name}: {counted(len(work), 'part')}, {len(missing)} to do; in {out}")
        try:
            _do(missing, begun, out, asked, address, verbose, minutes)
        except (Fault, KeyboardInterrupt):
            if partial and (out / "study.yaml").exists():
                _answer(study, work, out, asked)
            raise
    return _answer(study, work, out, asked)


def _check_minutes(name: str, minutes: float, partial: bool) -> None:
    if not partial:
        raise UserError(f"study {name} answers from all of its parts alone, so it takes no --minutes; leave it out")
    if not 0 < minutes < math.inf:
        raise UserError(f"--minutes must be above 0, got {minutes:g}; give how long the study may take")


def _answer(study: Study, work: Sequence[Part], out: Path, asked: Asked) -> dict[str, Any]:
    """From the parts that are done; says which are not."""
    with parts.opened(out, asked) as shelf, drawing.style():
        done = shelf.records(work)
        for part in work:
            if part.name in done:
                shelf.drop_begun(part)
        begun = shelf.begun([part for part in work if part.name not in done])
        outcomes = {name: record.outcome for name, record in done.items()}
        answer = study.answer(outcomes, asked.budget) if done else Answer([], [], [], [], {})
        seconds = sum(r.seconds for r in done.values()) + sum(b.seconds for b in begun.values())
        cost = report.Cost(len(work), seconds, [record.made_with for record in done.values() if record.made_with])
        left = {
            part.name: begun[part.name].saved.reached if part.name in begun else report.NOT_BEGUN
            for part in work
            if part.name not in done
        }
        return report.write(
            asked.study, study.QUESTION, answer, asked.budget, cost, out, left=left, overrides=asked.overrides
        )


def _budget(name: str) -> Budget:
    if name not in get_args(Budget):
        raise UserError(f"budget must be {' or '.join(get_args(Budget))}, got {name!r}; give one of them")
    return cast("Budget", name)


def _do(
    missing: Sequence[Part],
    begun: Mapping[str, Begun],
    out: Path,
    asked: Asked,
    address: str | None,
    verbose: bool,
    minutes: float | None,
) -> None:
    """The parts on Ray, from where they had `begun`. Those that failed end the study after all others are done."""
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    _tell("starting Ray")
    environment.prepare(address)

    from genray.cluster import resources, tasks

    with (
        resources.connected(address, data_bytes=0, verbose=verbose),
        resources.terminated_like_interrupted(),
        parts.opened(out, asked) as shelf,
    ):
        seconds = None if minutes is None else end - time.monotonic()
        failed = tasks.do(missing, begun, _counting(shelf, len(missing)), _tell, seconds=seconds)
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise Fault(f"{len(failed)} of {counted(len(missing), 'part')} failed: {reasons}; --resume tries them again")


def _counting(shelf: Shelf, count: int) -> Keep:
    """Keeps what comes of the parts, and tells how far the work is."""
    started, done = time.monotonic(), 0

    def keep_and_tell(part: Part, news: Begun | Record) -> None:
        nonlocal done
        elapsed = time.monotonic() - started
        if isinstance(news, Begun):
            shelf.save(part, news)
            _tell(f"[{duration(elapsed)}]  {done}/{count}  {part.name}, {news.saved.reached}")
            return
        shelf.keep(part, news)
        done += 1
        left = f", about {duration(elapsed / done * (count - done))} left" if done < count else ""
        _tell(f"[{duration(elapsed)}{left}]  {done}/{count}  {part.name}, {duration(news.seconds)}")

    return keep_and_tell


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
