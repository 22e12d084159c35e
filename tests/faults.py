"""A process that is killed, or whose disk is full, between any two of its calls that change files."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KILLED = 9
_CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an event of Python's audit (sys.addaudithook) changes a folder."""
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    return event in _CHANGING


def ends_before(call: int, action: Callable[[], object], folder: Path) -> bool:
    """Does `action` in a process of its own, which ends at once before its `call`-th call that changes `folder`:
    nothing is cleaned up, nothing flushed. False where it comes to its end in fewer calls."""
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, KILLED), "the child failed; its traceback stands above"
        return code == KILLED
    try:
        calls = iter(range(1_000_000))

        def count() -> None:
            if next(calls) == call:
                os._exit(KILLED)

        def hear(event: str, arguments: tuple[Any, ...]) -> None:
            if _changes(event, arguments) and str(arguments[0]).startswith(str(folder)):
                count()

        fsync = os.fsync
        os.fsync = lambda file: (count(), fsync(file))[1]  # of which the audit does not tell
        sys.addaudithook(hear)
        action()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def cuts(action: Callable[[Path], object], folder_of: Callable[[int], Path], *, at_least: int) -> Iterator[Path]:
    """For each call of `action(folder)` that changes its folder, a folder in which it was killed before that call."""
    call = 0
    while ends_before(call, lambda: action(folder), folder := folder_of(call)):
        yield folder
        call += 1
    assert call >= at_least, f"{call} calls change the folder"
