"""From the laptop to a real Ray and back: submitted, followed, left, stopped, gone on with, killed, fetched."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genray.cli import main
from genray.cluster.remote.head import free_port
from tests.cluster.remote.conftest import ROOT, Laptop, heed_ctrl_c, needs_rsync

PATIENCE_S = 240


@contextmanager
def ray_head(laptop: Laptop, temporary: Path) -> Iterator[int]:
    """A Ray of this test's own, with token authentication on; yields its dashboard's port."""
    (laptop.head / ".ray").mkdir()
    (laptop.head / ".ray/auth_token").write_text("secret")
    ports = {name: free_port() for name in ("port", "dashboard-port", "ray-client-server-port", "metrics-export-port")}
    ports |= {name: free_port() for name in ("dashboard-agent-listen-port", "dashboard-agent-grpc-port")}
    options = [f"--{name}={port}" for name, port in ports.items()]
    options += ["--head", "--block", "--dashboard-host=127.0.0.1", "--num-cpus=2", f"--temp-dir={temporary}"]
    environment = {**os.environ, "HOME": str(laptop.head), "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    with (laptop.path / "ray.log").open("w") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), "start", *options, "--object-store-memory=200000000"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield ports["dashboard-port"]
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # which `--block` takes as `ray stop`, of its own processes alone
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def driver_of(folder: Path) -> int | None:
    """The process of the sweep that works in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[1:4] == [b"-m", b"genray", b"sweep"] and str(folder).encode() in command:
            return int(process.name)
    return None


@pytest.mark.ray
@pytest.mark.slow
@needs_rsync
@pytest.mark.timeout(1200)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_sweep_from_the_laptop_to_its_page(
    laptop: Laptop, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    with ray_head(laptop, Path("/tmp") / f"gr{os.getpid()}") as port:  # sockets have short paths
        cluster = str(laptop.cluster(port, metadata={"genray": {"cpu_hour_price": 0.5}}))
        space = str(laptop.space(experiment={"dataset": "digits", "epochs": 60, "resources": {"gpu": 0}}))
        until(lambda: main(["cluster", "jobs", cluster]) == 0)

        assert main(["cluster", "submit", cluster, space, "--detach"]) == 0
        said = capfd.readouterr().err
        assert "CPU hours" in said
        assert "results are on the head's disk, in ~/genray-runs/tiny" in said
        assert "is being done by tiny-" in _line(capfd, 2, "submit", cluster, space)

        folder = laptop.head / "genray-runs/tiny"
        command = [sys.executable, "-m", "genray", "cluster", "attach", cluster]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed_ctrl_c
        ) as follower:
            assert follower.stderr
            lines = []
            while not lines or "vae: " not in lines[-1]:
                lines.append(follower.stderr.readline())
                assert lines[-1], lines
            follower.send_signal(signal.SIGINT)
            rest = follower.stderr.read()
        assert follower.returncode == 130
        assert "goes on: `genray cluster attach " in rest
        assert driver_of(folder), "leaving the job ended it"

        [row] = _jobs(capfd, cluster)
        assert main(["cluster", "stop", cluster, row[0]]) == 0
        assert driver_of(folder) is None
        assert json.loads((folder / "progress.json").read_text())["state"] == "stopped"
        assert "was stopped" in _line(capfd, 130, "attach", cluster)
        assert "go on with it by --resume" in _line(capfd, 2, "submit", cluster, space)

        assert main(["cluster", "submit", cluster, space, "--resume", "--detach"]) == 0
        until(lambda: json.loads((folder / "progress.json").read_text())["state"] == "running" and driver_of(folder))
        os.kill(driver_of(folder) or 0, signal.SIGKILL)
        capfd.readouterr()
        assert main(["cluster", "attach", cluster]) == 0
        shown = capfd.readouterr()
        assert "Fréchet distance" in shown.out
        assert "the sweep's process was killed (SIGKILL); it goes on from what was saved, 1 of 5 times" in shown.err
        assert "runs/tiny/comparison/index.html" in shown.out
        assert [row[1] for row in _jobs(capfd, cluster)] == ["succeeded", "stopped"]

    out = laptop.path / "runs/tiny"
    assert (out / "comparison/index.html").is_file()
    assert not list(out.rglob("checkpoint"))
    for kind in ("trial_0000", "trial_0001", "finalist_0", "finalist_1"):
        rows = [json.loads(line) for line in (out / "vae" / kind / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == list(range(61)), "an epoch is missing, or twice"


def _line(capfd: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    capfd.readouterr()
    assert main(["cluster", *arguments]) == code
    return capfd.readouterr().err.splitlines()[-1]


def _jobs(capfd: pytest.CaptureFixture[str], cluster: str) -> list[list[str]]:
    capfd.readouterr()
    assert main(["cluster", "jobs", cluster]) == 0
    return [line.split() for line in capfd.readouterr().out.splitlines()[1:]]
