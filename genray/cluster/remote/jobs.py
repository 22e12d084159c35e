"""Ray's jobs, by its REST interface through the tunnel: `import ray` takes seconds, and its own client sends the token
wherever RAY_ADDRESS or a proxy of the environment point."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from genray.cluster.remote.head import Unreachable, last_line
from genray.errors import Fault, UserError, nearest

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
KIND = "genray"  # a key of a job's metadata: "sweep", or "estimate"
_TIMEOUT_S = 60


class NoRay(Unreachable):
    """The head answers, and Ray on it does not."""


class Unknown(UserError):
    """A job that the cluster has never had, or has forgotten."""


@dataclass(frozen=True)
class Job:
    id: str
    state: str  # PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED
    kind: str  # "" for a job that is not genray's
    sweep: str
    folder: str
    began: float  # seconds since the epoch
    ended: float | None
    exit_code: int | None
    message: str

    @property
    def is_over(self) -> bool:
        return self.state in ENDED

    @property
    def age_s(self) -> float:
        return max(0.0, (self.ended or time.time()) - self.began)

    def with_message(self, message: str) -> Job:
        return replace(self, message=message)


class Jobs:
    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token

    def sweeps(self) -> list[Job]:
        """The latest first."""
        jobs = [_job(each) for each in json.loads(self._ask("GET", "/api/jobs/")) if each.get("submission_id")]
        return sorted((job for job in jobs if job.kind == "sweep"), key=lambda job: job.began, reverse=True)

    def info(self, job: str) -> Job:
        return _job(json.loads(self._ask("GET", f"/api/jobs/{job}")))

    def find(self, job: str | None) -> Job:
        """The job of that id; of None, the latest sweep."""
        sweeps = self.sweeps()
        if not sweeps:
            raise UserError(
                "the cluster has no sweep yet; submit one by `genray cluster submit CLUSTER.yaml SPACE.yaml`"
            )
        known = {each.id: each for each in sweeps}
        if job is None:
            return sweeps[0]
        if job not in known:
            raise UserError(
                f"the cluster has no job {job!r}{nearest(job, known)}; see `genray cluster jobs CLUSTER.yaml`"
            )
        return known[job]

    def logs(self, job: str) -> str:
        logs: str = json.loads(self._ask("GET", f"/api/jobs/{job}/logs"))["logs"]
        return logs

    def stop(self, job: str) -> bool:
        """False where it was over already."""
        stopped: bool = json.loads(self._ask("POST", f"/api/jobs/{job}/stop"))["stopped"]
        return stopped

    def upload(self, name: str, package: bytes) -> str:
        """A zipped working directory, as Ray keeps it. Returns its URI."""
        where = f"/api/packages/gcs/{name}"
        if self._request("GET", where, None)[0] == 404:  # asked first: it keeps what comes from being swept away
            self._ask("PUT", where, package)
        return f"gcs://{name}"

    def submit(self, job: str, entrypoint: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        body = {"submission_id": job, "entrypoint": entrypoint, "runtime_env": runtime_env, "metadata": metadata}
        self._ask("POST", "/api/jobs/", json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        status, answer = self._request(method, path, body)
        if status == 404:
            job = path.removeprefix("/api/jobs/").split("/")[0]
            raise Unknown(f"the cluster does not know {job!r} (any more); `genray cluster jobs` lists those it knows")
        if status >= 500 and method == "GET":
            raise NoRay(
                f"Ray on the head could not answer {path} ({status}): {last_line(answer.decode(errors='replace'))}; if "
                f"that stays so, `ray up CLUSTER.yaml` starts it anew"
            )
        if status != 200:
            raise Fault(f"the cluster refused {method} {path} ({status}): {last_line(answer.decode(errors='replace'))}")
        return answer

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException):
            raise NoRay(
                f"Ray does not answer on the head, by the tunnel at port {self._port}: it does not run there, or is "
                f"still starting; `ray up CLUSTER.yaml` starts it"
            ) from None
        finally:
            connection.close()
        if status in (401, 403):
            raise UserError(
                "the cluster refuses the token of this machine: it was started with another; copy ~/.ray/auth_token "
                "from where you ran `ray up`, or bring this one to the cluster by `ray up CLUSTER.yaml`"
            )
        return status, answer


def _job(details: Mapping[str, Any]) -> Job:
    metadata = details.get("metadata") or {}
    return Job(
        id=str(details["submission_id"]),
        state=str(details["status"]),
        kind=metadata.get(KIND, ""),
        sweep=metadata.get("sweep", ""),
        folder=metadata.get("folder", ""),
        began=(details.get("start_time") or 0) / 1000,
        ended=details["end_time"] / 1000 if details.get("end_time") else None,
        exit_code=details.get("driver_exit_code"),
        message=details.get("message") or "",
    )
