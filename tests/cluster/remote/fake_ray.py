"""Ray's jobs over HTTP, as much of it as the client asks for; its jobs do nothing."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class FakeRay:
    def __init__(self) -> None:
        self.token = "secret"
        self.jobs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.packages: dict[str, bytes] = {}
        self.submitted: list[dict[str, Any]] = []
        self.asked: list[str] = []  # paths
        self.ends: dict[str, dict[str, Any]] = {}  # by kind: what becomes of a job as soon as it is submitted
        ray = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ray.answer(self, "GET")

            def do_PUT(self) -> None:
                ray.answer(self, "PUT")

            def do_POST(self) -> None:
                ray.answer(self, "POST")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add(self, job: str, state: str, *, kind: str = "sweep", log: str = "", **details: Any) -> None:
        sweep = job.rsplit("-", 2)[0]
        metadata = {"genray": kind, "sweep": sweep, "folder": f"~/genray-runs/{sweep}"} if kind else {}
        given = {"submission_id": job, "status": state, "start_time": int(1000 * time.time()), "metadata": metadata}
        self.jobs[job] = given | details
        self.logs[job] = log

    def answer(self, request: BaseHTTPRequestHandler, method: str) -> None:
        self.asked.append(request.path)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            status, answer = 403, b"Forbidden: Invalid authentication token"
        else:
            status, answer = self._answer(method, request.path, body)
        request.send_response(status)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if path.startswith("/api/packages/gcs/"):
            name = path.rsplit("/", 1)[1]
            if method == "PUT":
                self.packages[name] = body
            return (200 if name in self.packages else 404), b""
        if (method, path) == ("GET", "/api/jobs/"):
            return 200, json.dumps(list(self.jobs.values())).encode()
        if (method, path) == ("POST", "/api/jobs/"):
            return self._submit(json.loads(body))
        job, _, what = path.removeprefix("/api/jobs/").partition("/")
        if job not in self.jobs:
            return 404, b"no such job"
        if what == "logs":
            return 200, json.dumps({"logs": self.logs[job]}).encode()
        if what == "stop":
            self.jobs[job]["status"] = "STOPPED"
            return 200, b'{"stopped": true}'
        return 200, json.dumps(self.jobs[job]).encode()

    def _submit(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        self.submitted.append(asked)
        end = {"status": "RUNNING", "log": ""} | self.ends.get(asked["metadata"]["genray"], {})
        self.logs[asked["submission_id"]] = end.pop("log")
        given = {"submission_id": asked["submission_id"], "start_time": int(1000 * time.time())}
        self.jobs[asked["submission_id"]] = given | {"metadata": asked["metadata"]} | end
        return 200, json.dumps({"submission_id": asked["submission_id"]}).encode()
