"""An S3 server on loopback, and the environment that Arrow needs to talk to it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.request import Request, urlopen
from uuid import uuid4

from moto.server import ThreadedMotoServer

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    # the server's S3 knows no trailing checksums, which newer clients send by default
    "AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_REQUIRED",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "WHEN_REQUIRED",
}


logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request would bury what a failed test says


class Server:
    """Its buckets outlive `stop` and `start`, as an outage would leave them."""

    def __init__(self) -> None:
        self._port = 0

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        _, self._port = self._server.get_host_and_port()

    def stop(self) -> None:
        self._server.stop()

    def new_bucket(self, folder: str) -> str:
        """The URL of a folder in it."""
        bucket = f"bucket-{uuid4().hex[:8]}"
        address = f"127.0.0.1:{self._port}"
        urlopen(Request(f"http://{address}/{bucket}", method="PUT"), timeout=30).close()
        return f"s3://{bucket}/{folder}?scheme=http&endpoint_override={address}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


@contextmanager
def s3_environment() -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= ENVIRONMENT
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


@contextmanager
def s3_server() -> Iterator[str]:
    """Gives the URL of a folder in a new bucket."""
    with s3_environment(), Server() as server:
        yield server.new_bucket("runs")
