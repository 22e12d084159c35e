"""A sweep sent to the cluster as a Ray job."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass

from genray import provenance
from genray.cluster import environment, snapshot
from genray.cluster.remote import package
from genray.cluster.remote.estimate import check_cost
from genray.cluster.remote.head import PYTHON, Head
from genray.cluster.remote.jobs import KIND, Job, Jobs
from genray.cluster.remote.poll import shell_path
from genray.cluster.remote.settings import Cluster, Place
from genray.errors import UserError
from genray.space import Sweep

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
STOP_S = 60  # that a sweep has to end by itself; Ray's default is 3


@dataclass(frozen=True)
class Request:
    sweep: Sweep
    name: str
    place: Place
    resume: bool
    max_gpu_hours: float | None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UserError(
                f"--name takes letters, digits, '.', '_' and '-', got {self.name!r}; leave the other characters out"
            )


def submit(cluster: Cluster, head: Head, token: str, request: Request) -> Job:
    """The job, which goes on by itself from here. Raises UserError for what the cluster would refuse later."""
    with head.tunnel() as port:
        jobs = Jobs(port, token)
        _check_free(cluster, head, jobs, request)
        packed = package.pack(request.sweep.to_yaml())
        runtime_env = {"working_dir": jobs.upload(*packed), "env_vars": _variables()}
    if not request.resume or request.max_gpu_hours is not None:  # what goes on was measured when it began
        measuring = _id(f"estimate-{request.name}")
        check_cost(cluster, head, token, request.sweep, measuring, runtime_env, request.max_gpu_hours)
    job = _id(request.name)
    runtime_env["env_vars"] = {**_variables(), snapshot.JOB: job}
    metadata = {KIND: "sweep", "sweep": request.name, "folder": request.place.folder}
    with head.tunnel() as port:
        jobs = Jobs(port, token)
        jobs.upload(*packed)  # which Ray keeps for ten minutes where no job has it: the estimate may have taken longer
        jobs.submit(job, entrypoint(request), runtime_env, metadata)
        return jobs.info(job)


def entrypoint(request: Request) -> str:
    """A shell command; the sweep's folder stands in it twice, once for who begins the sweep again if it is killed."""
    folder = shell_path(request.place.folder)
    storage = f" --storage {shlex.quote(request.place.storage)}" if request.place.storage else ""
    resume = " --resume" if request.resume else ""
    supervise = f"exec {PYTHON} -m genray.cluster.remote.supervise"
    return f"{supervise} {folder} {package.SPACE} --out {folder}{storage}{resume}"


def _id(name: str) -> str:
    """quickstart-20260131-120000"""
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _variables() -> dict[str, str]:
    commit = provenance.commit()
    variables = {**environment.for_job(), "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S)}
    return variables | ({"GENRAY_COMMIT": commit} if commit else {})


def _check_free(cluster: Cluster, head: Head, jobs: Jobs, request: Request) -> None:
    """One sweep a folder, and none that begins where another has been."""
    for job in jobs.sweeps():
        if job.folder == request.place.folder and not job.is_over:
            words = f"{shlex.quote(str(cluster.path))} {job.id}"
            raise UserError(
                f"{request.name} is being done by {job.id}; see it by `genray cluster attach {words}`, "
                f"end it by `genray cluster stop {words}`, or give another --name"
            )
    folder = request.place.folder
    there = head.run(f"if [ -e {shell_path(folder)}/sweep.yaml ]; then echo yes; else echo no; fi").strip() == "yes"
    if there and not request.resume:
        raise UserError(
            f"the cluster holds a sweep {request.name} already, in {folder}; go on with it by --resume, "
            f"or give another --name"
        )
    if request.resume and not there and not _elsewhere(request.place):
        raise UserError(
            f"the cluster holds no sweep {request.name}, in {folder}, to go on with; leave out --resume, "
            f"or give its --name"
        )


def _elsewhere(place: Place) -> bool:
    """Whether the sweep may be kept where this machine does not look: a new head finds it there."""
    return place.storage is not None and "://" in place.storage
