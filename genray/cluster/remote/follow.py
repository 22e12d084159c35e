"""Shows a job of the cluster as its sweep would show itself here, until it is over."""

from __future__ import annotations

import re
import shlex

from genray.cluster.remote.head import Head, last_line
from genray.cluster.remote.jobs import Job
from genray.cluster.remote.poll import polls
from genray.cluster.remote.settings import Cluster
from genray.cluster.view import View
from genray.endings import Stopped
from genray.errors import Fault, UserError

# Of a job's log: what Ray writes into it
_RAYS = re.compile(
    r"^(\x1b\[\d+m)?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*\s|\[\d{4}-\d\d-\d\d |Running entrypoint for job )"
)
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


def follow(cluster: Cluster, head: Head, token: str, job: Job, view: View | None = None) -> None:
    """Returns when the sweep has finished; raises what its command ended with otherwise. On Ctrl-C the job goes on."""
    view = view or View()
    try:
        last = _show(head, token, job, view)
    except KeyboardInterrupt:
        words = f"{shlex.quote(str(cluster.path))} {job.id}"
        raise Stopped(
            f"no longer following; {job.id} goes on: `genray cluster attach {words}` shows it again, "
            f"`genray cluster stop {words}` ends it"
        ) from None
    finally:
        view.end()
    raise_end(last)


def _show(head: Head, token: str, job: Job, view: View) -> Job:
    """As it was last seen; of a job that failed, `message` is the reason."""
    for look in polls(head, token, job.id, job.folder, view.note):
        if look.snapshot is not None:
            view.show(look.snapshot, force=look.job.is_over)
        elif look.job.state != "PENDING" and not look.job.is_over:
            for line in said(look.log):
                view.say_once(line)
        last = look.job
        if last.state == "FAILED":
            last = last.with_message(why(look.log, last))
    return last


def raise_end(job: Job) -> None:
    if job.state == "SUCCEEDED":
        return
    if job.state == "STOPPED":
        raise Stopped(
            f"{job.id} was stopped; what was done is in {job.folder} on the head: `submit --resume` goes on from there"
        )
    endings: dict[int | None, type[Exception]] = {2: UserError, 130: Stopped}
    raise endings.get(job.exit_code, Fault)(f"{job.id}: {job.message}")


def said(log: str) -> list[str]:
    """The lines of a job's log that are not Ray's own."""
    return [plain for line in log.splitlines() if not _RAYS.match(line) and (plain := _COLOR.sub("", line).strip())]


def why(log: str, job: Job) -> str:
    """The last line that genray wrote into the log of a job that failed, or else the last of all."""
    lines = said(log)
    ours = [line.removeprefix("genray: ") for line in lines if line.startswith("genray: ")]
    if ours:
        return ours[-1]
    return (lines[-1] if lines and job.exit_code is not None else last_line(job.message)) or "it failed without a word"
