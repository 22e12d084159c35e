"""A Ray on this machine that starts and ends machines by itself: its head, and raylets that a fake provider makes.

Ray's own `AutoscalingCluster` reads a file that the wheel lacks, and stops every Ray on the machine at its end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import ray
import yaml

ROOT = Path(__file__).parents[2]
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_ID = "f" * 51 + "00000"  # which that provider expects
COMMANDS = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")


@dataclass
class Autoscaled:
    address: str
    environment: dict[str, str]
    folder: str  # in the arguments of all its processes but workers, whose ancestors they are
    most: int = 0  # raylets beside the head's, at once
    trained: set[int] = field(default_factory=set)  # raylets under which a trial's process was seen
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    def processes(self) -> list[psutil.Process]:
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any(self.folder in part or self.address in part for part in process.cmdline()):
                    mine.append(process)
        return mine

    def look(self) -> int:
        """How many machines there are beside the head; remembers the most, and where trials are at work."""
        raylets = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.name() == "raylet":
                    raylets.append(process)
                    if any("Trainable" in " ".join(child.cmdline()[:1]) for child in process.children(recursive=True)):
                        self.trained.add(process.pid)
        self.most = max(self.most, len(raylets) - 1)
        return len(raylets) - 1

    def genray(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "genray", *arguments, "--address", self.address]
        driver = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.drivers.append(driver)
        return driver

    def end(self) -> None:
        for driver in self.drivers:
            driver.kill()
            driver.wait()
            assert driver.stdout is not None
            driver.stdout.close()
        deadline = time.monotonic() + 30
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    for each in (*process.children(recursive=True), process):
                        each.kill()
            time.sleep(0.2)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def autoscaled(
    types: Mapping[str, Any], *, max_workers: int, v2: bool = False, provider: str = PROVIDER
) -> Iterator[Autoscaled]:
    """A head that has no CPU, and from 0 to `max_workers` machines of these types, gone after 6 s without work."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: sockets lie below it
    ip = ray.util.get_node_ip_address()
    port, *others = _free_ports(3)
    config = {
        "cluster_name": "fake",
        "max_workers": max_workers,
        "upscaling_speed": 100,
        "idle_timeout_minutes": 0.1,
        "provider": {
            "type": "external",
            "module": provider,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": f"{ip}:{port}",
            "launch_multiple": v2,
            "head_node_id": HEAD_ID,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            **{name: {"node_config": {}, **kind} for name, kind in types.items()},
        },
        **{f"{name}_commands": [] for name in COMMANDS},
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }
    path = Path(folder) / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    cluster = Autoscaled(f"{ip}:{port}", environment, folder)
    of_head = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_enable_autoscaler_v2": str(int(v2)),
        "PYTHONPATH": str(ROOT),
    }
    try:
        start = subprocess.run(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head"),
                *(f"--node-ip-address={ip}", f"--port={port}", "--num-cpus=0", "--object-store-memory=200000000"),
                *(f"--ray-client-server-port={others[0]}", f"--dashboard-port={others[1]}"),
                *("--include-dashboard=false", "--dashboard-agent-listen-port=0"),
                *("--min-worker-port=0", "--max-worker-port=0"),
                *(f"--temp-dir={folder}", f"--autoscaling-config={path}"),
            ],
            env=environment | of_head,
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert start.returncode == 0, start.stdout + start.stderr
        yield cluster
    finally:
        cluster.end()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]
