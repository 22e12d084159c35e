"""How a command that was stopped or failed ends: with what was saved, and how to go on."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from genray.errors import Fault, UserError

_FIXES = {
    errno.ENOSPC: "free some room on that disk",
    errno.EDQUOT: "free some room, or have the quota raised",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`)",
    errno.EROFS: "mount that disk for writing",
    errno.EACCES: "give yourself the right to write there",
    errno.EISDIR: "a file belongs there; move the folder away",
    errno.ENAMETOOLONG: "give a shorter name",
}


class Stopped(RuntimeError):
    """Ctrl-C."""


@contextlib.contextmanager
def resumable(marker: Path) -> Iterator[None]:
    """Where what stands inside is stopped or fails once `marker` is there, says how to go on."""
    try:
        yield
    except UserError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if not marker.exists():
            raise
        saved = f"what was done is in {marker.parent}"
        if isinstance(error, Fault):  # a loss that is not finite: the same again would end the same way
            raise Fault(f"{error}; {saved}") from error
        hint = f"{saved}: the same command with --resume goes on from there"
        if isinstance(error, KeyboardInterrupt):
            raise Stopped(f"stopped; {hint}") from None
        if isinstance(error, OSError):
            if (told := of_disk(error)) is not None:
                raise UserError(f"{told}; {hint}") from error
            raise Fault(f"{words(error)}; {hint}") from error
        error.add_note(f"genray: {hint}")  # below the traceback of a fault of ours
        raise


def of_disk(error: BaseException | None) -> UserError | None:
    """What is told of a disk or a path with which its user can do something."""
    if isinstance(error, OSError) and error.errno in _FIXES:
        return UserError(f"{words(error)}; {_FIXES[error.errno]}")
    return None


def words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
