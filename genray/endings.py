"""How a command that was stopped or failed ends: with what was saved, and how to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from genray.errors import Fault, UserError


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
            raise Fault(f"{words(error)}; {hint}") from error
        error.add_note(f"genray: {hint}")  # below the traceback of a fault of ours
        raise


def words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
