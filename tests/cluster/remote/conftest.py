"""A laptop and a head that are both this machine: `ssh` is a stand-in, `rsync` is real."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from genray.cli import main
from genray.cluster.remote.head import Head
from tests.cluster.remote.fake_ray import FakeRay

ROOT = Path(__file__).parents[3]


class Laptop:
    """Its current folder is `path`; the head's home is `head`."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.head, self.home, self.bin = (path / name for name in ("work", "head", "home", "bin"))
        for folder in (self.path, self.head, self.home / ".ray", self.bin):
            folder.mkdir(parents=True)
        self.calls_file, self.broken = path / "calls", path / "broken"
        self.add_tool("ssh", f'exec {sys.executable} -S {Path(__file__).with_name("fake_ssh.py")} "$@"')
        (self.home / ".ray" / "auth_token").write_text("secret")
        (self.head / "genray").symlink_to(ROOT)
        (self.path / "key").touch()
        for name, value in {
            "HOME": self.home,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "FAKE_HOME": self.head,
            "FAKE_CALLS": self.calls_file,
            "FAKE_BROKEN": self.broken,
        }.items():
            monkeypatch.setenv(name, str(value))
        for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(self.path)

    def add_tool(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def cluster(self, port: int = 8265, **changed: object) -> Path:
        config = {
            "cluster_name": "lab",
            "provider": {"type": "local", "head_ip": "10.0.0.2", "worker_ips": []},
            "auth": {"ssh_user": "ada", "ssh_private_key": str(self.path / "key")},
            "head_start_ray_commands": [f"ray start --head --dashboard-port={port}"],
        }
        path = self.path / "cluster.yaml"
        path.write_text(yaml.safe_dump(config | changed))
        return path

    def space(self, **changed: object) -> Path:
        space = {
            "name": "tiny",
            "experiment": {"dataset": "digits", "epochs": 2, "resources": {"gpu": 0}},
            "models": ["vae"],
            "search": {"model.hidden": {"choice": [8, 16]}},
            "trials": 2,
            "lanes": 1,
            "finalists": {"seeds": 2},
        }
        path = self.path / "space.yaml"
        path.write_text(yaml.safe_dump(space | changed))
        return path

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    return Laptop(tmp_path, monkeypatch)


@pytest.fixture
def fake_ray() -> Iterator[FakeRay]:
    with FakeRay() as ray:
        yield ray


@pytest.fixture
def head(laptop: Laptop) -> Head:
    return Head(user="ada", ip="10.0.0.2", yaml="cluster.yaml", key="key")


def says(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """The one line on stderr with which a command ends."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines, "nothing was said"
    assert lines[-1].startswith("genray: ")
    assert not [line for line in lines if "Traceback" in line]
    return lines[-1]


def heed_ctrl_c() -> None:
    """For a process that is started: where the tests run in a shell's background, Ctrl-C is switched off for all."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="needs rsync")
