"""A job as it goes on, over a connection that may break: a lid that closes, a network that changes."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from genray.cluster.remote.head import Head, Link, Unreachable, free_port
from genray.cluster.remote.jobs import Job, Jobs, NoRay, Unknown
from genray.cluster.snapshot import FILE, Snapshot, parse
from genray.errors import Fault

POLL_S = 1.0
PAUSES_S = (0.5, 1, 2, 5, 10)  # before trying again
QUIET_S = 20.0  # a connection that is back by then was not worth a word
NO_RAY_S = 180.0  # the head answers, and Ray on it does not


@dataclass(frozen=True)
class Poll:
    job: Job
    snapshot: Snapshot | None  # of this job's driver
    log: str  # of the job, where it has begun and there is no snapshot that tells more, and where it has failed


def polls(head: Head, token: str, job: str, folder: str, note: Callable[[str], object]) -> Iterator[Poll]:
    """A look at the job each second, the last of them when it is over. Where the connection is lost, it is made again;
    `note` is told when that takes long. Raises Fault where the cluster, or its memory of the job, is gone."""
    lost = _Lost()
    while True:
        try:
            with _connected(head, token, folder) as (jobs, link):
                while True:
                    info = jobs.info(job)
                    if info.is_over:
                        time.sleep(POLL_S)  # for the last words in the folder
                    snapshot = _of(link.newest, job)
                    is_told = info.state != "FAILED" and (snapshot is not None or info.state == "PENDING")
                    look = Poll(info, snapshot, "" if is_told else jobs.logs(job))
                    lost.reset()
                    note("")
                    yield look
                    if look.job.is_over:
                        return
                    time.sleep(POLL_S)
                    link.check()
        except Unknown:
            raise Fault(
                f"the cluster does not know {job} any more: its head was started anew; "
                f"what was saved is still where it was, and the same command with --resume goes on from there"
            ) from None
        except Unreachable as error:
            lost.again(error, note)


class _Lost:
    """Since when, and what is said about it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._since: float | None = None
        self._without_ray: float | None = None
        self._tries = 0

    def again(self, error: Unreachable, note: Callable[[str], object]) -> None:
        """Waits. Raises Fault where it makes no sense to go on."""
        now = time.monotonic()
        self._since = self._since or now
        self._without_ray = (self._without_ray or now) if isinstance(error, NoRay) else None
        if self._without_ray and now - self._without_ray > NO_RAY_S:
            raise Fault(
                f"{error}; what was saved is still where it was: the same command with --resume goes on"
            ) from None
        if now - self._since > QUIET_S:
            note("no connection to the head; the job goes on, and this tries again")
        time.sleep(PAUSES_S[min(self._tries, len(PAUSES_S) - 1)])
        self._tries += 1


@contextlib.contextmanager
def _connected(head: Head, token: str, folder: str) -> Iterator[tuple[Jobs, Link]]:
    """One ssh: a way to Ray's jobs, and the sweep's progress.json each second."""
    file = shell_path(f"{folder}/{FILE}")
    tell = f"while :; do if [ -f {file} ]; then tr -d '\\n' <{file}; fi; echo; sleep {POLL_S}; done"
    here = free_port()
    with head.linked({here: head.dashboard_port}, tell) as link:
        yield Jobs(here, token), link


def _of(text: str, job: str) -> Snapshot | None:
    snapshot = parse(text) if text else None
    return snapshot if snapshot is not None and snapshot.job == job else None


def shell_path(path: str) -> str:
    """Quoted for the head's shell, which replaces a leading ~ by the home there."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)
