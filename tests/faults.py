"""A process that is killed, or whose disk is full, between any two of its calls that change files, and in the middle of
what it writes to logs."""

from __future__ import annotations

import builtins
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KILLED = 9
_LOGS = ("metrics.jsonl", "events.", "study.journal")  # all else is written whole or not at all, or by a test
_CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}


def _changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an event of Python's audit (sys.addaudithook) changes a folder."""
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    return event in _CHANGING


class _Heard:
    """A file that is written in place, as logs are: half of what is written is on the disk when `tell` is called."""

    def __init__(self, file: Any, tell: Callable[[], object]) -> None:
        self._file, self._tell = file, tell

    def write(self, content: Any) -> int:
        half = len(content) // 2
        self._file.write(content[:half])
        self._file.flush()
        self._tell()
        self._file.write(content[half:])
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Heard:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def in_a_child(action: Callable[[], int]) -> int:
    """Does `action` in a process of its own, and gives its exit code, 255 where it raised."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os._exit(action())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(255)


def before_changes(folder: Path, do: Callable[[int, str], object]) -> None:
    """Before each call of this process that changes `folder`, from now to its end, `do` is told its number and name."""
    calls = iter(range(1_000_000))

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if _changes(event, arguments) and str(arguments[0]).startswith(str(folder)):
            do(next(calls), event)

    def heard_fsync(file: int, fsync: Callable[[int], None] = os.fsync) -> None:  # of which the audit does not tell
        if os.readlink(f"/proc/self/fd/{file}").startswith(str(folder)):
            do(next(calls), "os.fsync")
        fsync(file)

    def heard_open(path: Any, mode: str = "r", *rest: Any, open_: Callable[..., Any] = io.open, **named: Any) -> Any:
        file = open_(path, mode, *rest, **named)
        is_log = mode[0] in "wa" and Path(str(path)).name.startswith(_LOGS) and str(path).startswith(str(folder))
        return _Heard(file, lambda: do(next(calls), "write")) if is_log else file

    os.fsync = heard_fsync
    builtins.open = io.open = heard_open
    sys.addaudithook(hear)


def ends_before(call: int, action: Callable[[], object], folder: Path) -> bool:
    """Does `action` in a process of its own, which ends at once before its `call`-th call that changes `folder`:
    nothing is cleaned up, nothing flushed. False where it comes to its end in fewer calls."""

    def be_killed() -> int:
        before_changes(folder, lambda number, event: os._exit(KILLED) if number == call else None)
        action()
        return 0

    code = in_a_child(be_killed)
    assert code in (0, KILLED), "the child failed; its traceback stands above"
    return code == KILLED


def cuts(action: Callable[[Path], object], folder_of: Callable[[int], Path], *, at_least: int) -> Iterator[Path]:
    """For each call of `action(folder)` that changes its folder, a folder in which it was killed before that call."""
    call = 0
    while ends_before(call, lambda: action(folder), folder := folder_of(call)):
        yield folder
        call += 1
    assert call >= at_least, f"{call} calls change the folder"
