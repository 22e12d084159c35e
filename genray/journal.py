"""A sweep's study.journal: Optuna's, with a checksum in each line that Optuna looks over. What is damaged is named by
its line before anything is added. Lines without a checksum, of programs that are not ours, are taken as they are.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from genray.errors import UserError

_CHECKSUM = "crc32"  # of the line's other keys, as they are written


class _Checksummed(JournalFileBackend):
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        super().append_logs([{**log, _CHECKSUM: _checksum(log)} for log in logs])


class _SoleWriter(JournalFileSymlinkLock):
    """No lock: the sweep holds its folder's. Optuna's own would keep a sweep that was killed waiting for 30 s."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def opened(path: Path, models: Collection[str] | None) -> JournalStorage:
    """The studies, which are those of `models` (None: of any). Raises UserError where a line is damaged, or where the
    journal is of another sweep. To be written to by the sweep alone that holds the folder's lock.
    """
    _check_lines(path)
    try:
        storage = JournalStorage(_Checksummed(str(path), _SoleWriter("")))
        names = optuna.get_all_study_names(storage)
    except OSError:
        raise
    except Exception as error:  # optuna raises whatever a line that is none of its own leads to: KeyError …
        problem = " ".join(str(error).split())[:200]
        raise _damaged(path, f"{type(error).__name__}: {problem}") from None
    if foreign := [name for name in names if models is not None and name not in models]:
        raise UserError(
            f"{path} must hold the searches of the models that sweep.yaml names, got {', '.join(foreign)}; put the "
            f"sweep's own journal in its place"
        )
    return storage


def drop_half_line(path: Path) -> None:
    """A kill in the middle of a write leaves a line without its end, to which the next would be glued."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
            os.fsync(file.fileno())


def _check_lines(path: Path) -> None:
    """Every line that has its end; and what is left of a first line, where there is no more."""
    try:
        *lines, half = path.read_bytes().split(b"\n") if path.exists() else [b""]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; put a copy that can be read in its place") from None
    if half and not lines and not half.startswith(b"{"):
        lines = [half]
    for number, line in enumerate(lines, start=1):
        if problem := _problem(line):
            raise _damaged(path, f"line {number} of {len(lines)} {problem}", last=1 < number == len(lines))


def _damaged(path: Path, problem: str, *, last: bool = False) -> UserError:
    """The last line alone can go: a kill could have come before it."""
    return UserError(
        f"{path} is damaged ({problem}); {'remove that line, or ' if last else ''}put a whole copy in its place, or "
        f"begin a sweep in another folder: it alone tells which trials are done"
    )


def _problem(line: bytes) -> str | None:
    try:
        log = json.loads(line)
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(log, dict):
        return "is no entry of Optuna's"
    if log.pop(_CHECKSUM, None) not in (None, _checksum(log)):
        return "has another checksum than was written"
    return None


def _checksum(log: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(log, separators=(",", ":")).encode())
