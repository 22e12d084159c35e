"""launch/ssh.yaml on hosts of a fabric: the first leads, the others train; the laptop has a copy of the checkout."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.hosts.fabric import ENVIRONMENT, ROOT, Fabric, Host, Result, wait_until

CHECKOUT = ("genray", "launch", "search_spaces", "pyproject.toml", "constraints.txt", "README.md", "LICENSE")
BASHRC = f"export GENRAY_VENV={ENVIRONMENT}\n"  # a new machine would install some GB
PYTHON = ENVIRONMENT / "bin" / "python"
PATIENCE_S = 600  # far from what it takes on an idle machine

_ASK = """
import pathlib, sys, urllib.error, urllib.request
url, *token = sys.argv[1:]
request = urllib.request.Request(url)
for path in token:
    request.add_header("Authorization", "Bearer " + pathlib.Path(path).expanduser().read_text().strip())
try:
    answer = urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError as error:
    print(error.reason)
else:
    print(answer.status)
    print(answer.read().decode())
"""


class Cluster:
    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.laptop = fabric, fabric.laptop
        self.head, self.workers = fabric.hosts[0], fabric.hosts[1:]
        self.checkout = fabric.shared / "checkout"
        self.yaml = self.checkout / "launch" / "ssh.yaml"
        self.stages: list[tuple[str, float]] = []
        (fabric.shared / "ask.py").write_text(_ASK)
        self._copy_checkout()

    def edit(self, **changed: object) -> Path:
        """Writes the YAML as a user would: addresses, user and key; and `changed`, by top-level key."""
        config = yaml.safe_load((ROOT / "launch" / "ssh.yaml").read_text())
        config["provider"] |= {"head_ip": self.head.address, "worker_ips": [host.address for host in self.workers]}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.fabric.key)}
        self.yaml.write_text(yaml.safe_dump(config | changed))
        return self.yaml

    def run(self, *command: str | Path, check: bool = True, timeout: float = PATIENCE_S) -> Result:
        """A command of the user's, in the checkout on the laptop."""
        return self.laptop.run(*command, check=check, timeout=timeout, cwd=self.checkout, env=self.env)

    @property
    def env(self) -> dict[str, str]:
        return {"GENRAY_VENV": str(ENVIRONMENT), "TERM": "dumb", "OMP_NUM_THREADS": "1"}

    def up(self) -> None:
        with self.stage("ray up"):
            self.run(".venv/bin/ray", "up", "-y", "launch/ssh.yaml")
        with self.stage("workers there"):
            self.wait_for_workers(len(self.workers))

    def wait_for_workers(self, num: int) -> None:
        wait_until(lambda: len(self.alive()) == num + 1, timeout_s=PATIENCE_S, every_s=1)

    def alive(self) -> set[str]:
        """The addresses of the machines that Ray counts."""
        path = str(self.fabric.home / ".ray" / "auth_token")
        status, _, body = self.ask(self.head, "http://127.0.0.1:8265/nodes?view=summary", path).partition("\n")
        if status != "200":
            return set()
        nodes = json.loads(body)["data"]["summary"]
        return {node["ip"] for node in nodes if "ip" in node and node["raylet"].get("state") == "ALIVE"}

    def ask(self, host: Host, url: str, *token: str) -> str:
        """What a host is answered: the status and the body, or why there was no answer."""
        return host.run(PYTHON, "-S", self.fabric.shared / "ask.py", url, *token).stdout.strip()

    def ray_processes(self) -> list[str]:
        words = ("ray/core/src", "ray::", "/site-packages/ray/")
        lines = [f"{host.name}: {line}" for host in self.fabric.hosts for line in host.command_lines()]
        return [line for line in lines if any(word in line for word in words)]

    def busy(self, host: Host) -> bool:
        """Whether tasks or actors run there."""
        idle = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
        return any(line.startswith("ray::") and not line.startswith(idle) for line in host.command_lines())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.stages.append((name, time.monotonic() - start))

    def _copy_checkout(self) -> None:
        self.checkout.mkdir()
        for name in CHECKOUT:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, self.checkout)
