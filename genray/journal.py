"""A sweep's study.journal: Optuna's, with a checksum in each line that Optuna looks over. It goes on from that of the
line before, and the first from the sweep's id: what is damaged, missing or another sweep's is named by its line before
anything is added. Lines without a checksum, of programs that are not ours, are taken as they are.
"""

from __future__ import annotations

import itertools
import json
import os
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from genray import schema
from genray.errors import UserError

_CHECKSUM = "crc32"  # of the line's other keys, as they are written, going on from that of the line before


class _Checksummed(JournalFileBackend):
    def __init__(self, path: Path, checksum: int) -> None:
        """`checksum` is that of the last line there."""
        super().__init__(str(path), _SoleWriter(""))
        self._checksum = checksum

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        checksums = [*itertools.accumulate(logs, lambda before, log: _checksum(log, before), initial=self._checksum)]
        super().append_logs([{**log, _CHECKSUM: own} for log, own in zip(logs, checksums[1:], strict=True)])
        self._checksum = checksums[-1]


class _SoleWriter(JournalFileSymlinkLock):
    """No lock: the sweep holds its folder's. Optuna's own would keep a sweep that was killed waiting for 30 s."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def opened(path: Path, models: Collection[str] | None) -> JournalStorage:
    """The studies, which are those of `models` (None: of any), of the sweep whose sweep.yaml lies beside. Raises
    UserError where a line is damaged, or where the journal is of another sweep. To be written to by the sweep alone
    that holds the folder's lock.
    """
    checksum = _check_lines(path)
    try:
        storage = JournalStorage(_Checksummed(path, checksum))
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


def trial_folders(folder: Path) -> list[str]:
    """Of a model. To be looked for before the journal is read: a trial's folder is made after its first line."""
    return sorted(path.name for path in folder.glob("trial_*"))


def unknown_trials(folders: Iterable[str], known: int) -> list[str]:
    """Trials with a folder that are not among the `known` trials of the journal: lines at its end are missing, which no
    checksum tells."""
    names = {f"trial_{number:04d}" for number in range(known)}
    return [name for name in folders if name not in names]


def drop_half_line(path: Path) -> None:
    """A kill in the middle of a write leaves a line without its end, to which the next would be glued."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
            os.fsync(file.fileno())


def _check_lines(path: Path) -> int:
    """Every line that has its end; what is left of a first line, where there is no more. Gives the last checksum."""
    try:
        *lines, half = path.read_bytes().split(b"\n") if path.exists() else [b""]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; put a copy that can be read in its place") from None
    if half and not lines and not half.startswith(b"{"):
        lines = [half]
    checksum = schema.id_of(path.parent)
    for number, line in enumerate(lines, start=1):
        found = _checksum_of(line, checksum)
        if isinstance(found, str):
            raise _damaged(path, f"line {number} of {len(lines)} {found}", last=1 < number == len(lines))
        checksum = found
    return checksum


def _damaged(path: Path, problem: str, *, last: bool = False) -> UserError:
    """The last line alone can go: a kill could have come before it."""
    return UserError(
        f"{path} is damaged ({problem}); {'remove that line, or ' if last else ''}put a whole copy in its place, or "
        f"begin a sweep in another folder: it alone tells which trials are done"
    )


def _checksum_of(line: bytes, before: int) -> int | str:
    """After the line, or what is wrong with the line."""
    try:
        log = json.loads(line)
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(log, dict):
        return "is no entry of Optuna's"
    if (told := log.pop(_CHECKSUM, None)) is None:
        return before
    for checksum in (_checksum(log, before), _checksum(log, 0)):  # the first genrays went on from nothing
        if told == checksum:
            return checksum
    return (
        "is not what this sweep wrote there: it was changed, lines before it are missing, swapped or there twice, or "
        "it is another sweep's"
    )


def _checksum(log: dict[str, Any], before: int) -> int:
    return zlib.crc32(json.dumps(log, separators=(",", ":")).encode(), before)
