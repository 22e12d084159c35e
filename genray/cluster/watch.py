"""A sweep watched from beside it: on this machine, or on another that sees its folder. Imports no Ray."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

from genray.cluster import snapshot
from genray.cluster.snapshot import Snapshot
from genray.cluster.view import View
from genray.endings import Stopped
from genray.errors import Fault, UserError

POLL_S = 0.5
GONE_S = 10.0  # without a lock and without news: a driver tells something each second, but for pauses of a few


def watch(folder: Path, view: View | None = None) -> tuple[dict[str, Any], Path]:
    """Shows the sweep until it ends, and returns what its comparison.json holds, and the page's folder. Otherwise it
    raises what the sweep's own command ended with: Stopped, Fault or UserError."""
    if not (folder / "sweep.yaml").is_file():
        raise UserError(f"{folder} holds no sweep (yet); give the folder that `genray sweep` works in")
    view = view or View()
    try:
        last = _until_over(folder, view)
    except KeyboardInterrupt:
        raise Stopped(f"no longer watching; the sweep in {folder} goes on") from None
    finally:
        view.end()
    hint = f"what was done is in {folder}: `genray sweep` with --resume goes on from there"
    if last is None or not last.is_over:
        raise Fault(f"the sweep's process is gone; {hint}")
    if last.state == "finished":
        return comparison_of(folder), folder / "comparison"
    if last.state == "stopped":
        raise Stopped(f"the sweep was stopped; {hint}")
    raise (UserError if last.code == 2 else Fault)(f"{last.reason}; {hint}")


def comparison_of(folder: Path) -> dict[str, Any]:
    """What a sweep's comparison.json holds, with its runs where they are seen from here: it may have been written on
    another machine. Raises FileNotFoundError."""
    path = folder / "comparison" / "comparison.json"
    try:
        comparison: dict[str, Any] = json.loads(path.read_text())
        for row in comparison["rows"]:
            row["runs"] = [str(folder.absolute() / Path(*Path(run).parts[-2:])) for run in row["runs"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        fix = f"make it again with `genray compare {shlex.quote(str(folder))}`"
        raise UserError(f"{path} is damaged; {fix}") from None
    return comparison


def _until_over(folder: Path, view: View) -> Snapshot | None:
    """The last that was heard."""
    heard, since = None, time.monotonic()
    while True:
        now = snapshot.read(folder)
        if now is not None and now != heard:
            heard, since = now, time.monotonic()
            view.show(now)
        if not snapshot.is_alive(folder) and (
            (now is not None and now.is_over) or time.monotonic() - since > GONE_S or _is_old(folder)
        ):
            return snapshot.read(folder)
        time.sleep(POLL_S)


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - (folder / snapshot.FILE).stat().st_mtime > 6 * GONE_S
    except OSError:
        return True
