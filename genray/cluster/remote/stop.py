"""Stops a job, and waits until it has."""

from __future__ import annotations

import time

from genray.cluster.remote.head import Head
from genray.cluster.remote.jobs import Job, Jobs
from genray.cluster.remote.submit import STOP_S
from genray.errors import Fault


def stop(head: Head, token: str, job: Job) -> str:
    """What has become of it, as a line."""
    if job.is_over:
        return f"{job.id} was over already: {job.state.lower()}"
    end = time.monotonic() + STOP_S + 30
    with head.tunnel() as port:
        jobs = Jobs(port, token)
        jobs.stop(job.id)
        while not jobs.info(job.id).is_over:
            if time.monotonic() > end:
                raise Fault(f"{job.id} was told to stop and has not for {STOP_S + 30} s; see `genray cluster jobs`")
            time.sleep(0.5)
    return f"{job.id} is stopped; what was done is in {job.folder} on the head: `submit --resume` goes on from there"
