"""What a job runs on the head: the sweep, which begins again with --resume where its process was killed.

python -m genray.cluster.remote.supervise FOLDER ARGUMENTS...     of `genray sweep`; FOLDER is its --out
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

NOTE = "GENRAY_NOTE"  # as in genray/cluster/snapshot.py, whose imports take seconds
SWEEP = (sys.executable, "-m", "genray", "sweep")
MOST = 5  # times that it begins again
PAUSE_S = 3.0  # Ray ends the killed driver's actors in the meantime
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> int:
    """The sweep's exit code."""
    folder, *rest = arguments
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))  # Ray tells the sweep itself too
    code = _run(rest)
    for again in range(1, MOST + 1):
        if code >= 0 or stopped:
            break
        killed = f"the sweep's process was killed ({signal.Signals(-code).name})"
        note = f"{killed}; it goes on from what was saved, {again} of {MOST} times"
        print(note, file=sys.stderr, flush=True)
        time.sleep(PAUSE_S)
        if stopped:
            break
        code = _run(resumed(rest, Path(folder)), note)
    if code < 0 and not stopped:
        name = signal.Signals(-code).name
        print(
            f"genray: the sweep's process was killed {MOST + 1} times, at last by {name}; is the head's memory enough?"
        )
        return 1
    return 130 if stopped and code else code


def resumed(arguments: Sequence[str], folder: Path) -> list[str]:
    """A sweep that was killed before it opened its folder begins anew."""
    opened = (folder / "sweep.yaml").exists() and "--resume" not in arguments
    return [*arguments, *(["--resume"] if opened else [])]


def _run(arguments: Sequence[str], note: str | None = None) -> int:
    env = os.environ | ({NOTE: note} if note else {})
    return subprocess.run([*SWEEP, *arguments], env=env, preexec_fn=_prepare).returncode


def _prepare() -> None:
    """In the sweep's own process. Ray blocks SIGINT in what it starts, and a sweep ends by it. And a sweep whose job is
    gone would go on unseen, and keep its folder locked."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
