"""Ends this process where its run hangs, whatever it hangs in: the standard library's watchdog needs no interpreter."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec

P = ParamSpec("P")


@contextlib.contextmanager
def watched(report: Callable[P, bool], timeout_s: float | None) -> Iterator[Callable[P, bool]]:
    """`report`, between whose calls no more than `timeout_s` may pass: else the stacks of all threads go to stderr, and
    the process exits. The time in which a row is answered does not count. A process has one such watch at a time."""
    if timeout_s is None:
        yield report
        return

    def heard(*args: P.args, **kwargs: P.kwargs) -> bool:
        faulthandler.cancel_dump_traceback_later()
        go_on = report(*args, **kwargs)
        _arm(timeout_s)
        return go_on

    _arm(timeout_s)
    try:
        yield heard
    finally:
        faulthandler.cancel_dump_traceback_later()


def _arm(timeout_s: float) -> None:
    """Ray replaces sys.stderr by something without a descriptor in some of its processes."""
    timeout_s = min(timeout_s, threading.TIMEOUT_MAX)  # beyond, 292 years, it is an OverflowError
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=sys.__stderr__ or sys.stderr)
