"""launch/slurm.sbatch, with stand-ins for Slurm's commands: two `nodes` on this machine, real Ray, a real sweep."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "launch/slurm.sbatch"

SRUN = r"""#!/usr/bin/env bash
# Each task in a process group of its own, which is what a signal to srun reaches.
while [ $# -gt 0 ]; do case $1 in --ntasks=*) tasks=${1#--ntasks=} ;; -*) ;; *) break ;; esac; shift; done
set -m
for ((i = 0; i < tasks; i++)); do SLURM_NODEID=$i "$@" & processes="$processes $!"; done
trap 'for p in $processes; do kill -TERM -- -$p; done' TERM
for p in $processes; do while wait "$p"; [ $? -gt 128 ] && kill -0 "$p" 2>/dev/null; do :; done; done
"""

SPACE = """
name: tiny
experiment: {dataset: digits, epochs: 60, metrics: [frechet], num_samples: 64, resources: {cpu: 1, gpu: 0}}
models: [vae]
search: {optimizer.learning_rate: {loguniform: [1.0e-4, 1.0e-2]}}
trials: 4
finalists: {seeds: 2}
"""


class Allocation:
    """A folder in which a job was submitted, and what Slurm would tell the job."""

    def __init__(self, path: Path, job: int, nodes: int = 2) -> None:
        self.path, self.job, self.nodes = path, job, nodes
        for name in ("tools", "home", "work"):
            (path / name).mkdir()
        self.tool("srun", SRUN)
        self.tool("scontrol", '#!/bin/sh\necho "$@" >>"$SLURM_SUBMIT_DIR/scontrol"\n')
        (path / "work/tiny.yaml").write_text(SPACE)
        self.log = path / "log"
        self.started: list[subprocess.Popen[bytes]] = []

    def tool(self, name: str, script: str) -> None:
        (self.path / "tools" / name).write_text(script)
        (self.path / "tools" / name).chmod(0o755)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        bash = shutil.which("bash") or pytest.fail("bash is missing")
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [bash, str(SCRIPT), *arguments],
                env={
                    "PATH": f"{self.path / 'tools'}:{os.defpath}",
                    "HOME": str(self.path / "home"),
                    "GENRAY_CACHE": os.environ.get("GENRAY_CACHE", str(Path.home() / ".cache/genray")),
                    "OMP_NUM_THREADS": "1",
                    "GENRAY_VENV": str(Path(sys.executable).parents[1]),
                    "SLURM_SUBMIT_DIR": str(self.path / "work"),
                    "SLURM_JOB_ID": str(self.job),
                    "SLURM_JOB_NUM_NODES": str(self.nodes),
                    "SLURM_CPUS_PER_TASK": "1",
                    **environment,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        self.started.append(process)
        return process

    def await_word(self, word: str, process: subprocess.Popen[bytes], timeout_s: float = 300) -> None:
        deadline = time.monotonic() + timeout_s
        while word not in (text := self.log.read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.2)

    def clear(self) -> None:
        """What a test that failed has left."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                process.wait(180)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def folders(self) -> list[Path]:
        return sorted(Path("/tmp").glob(f"genray-{self.job}-*"))

    @property
    def processes(self) -> list[str]:
        """The command lines of what runs for this job."""
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # gone since
            if f"genray-{self.job}-" in line:
                lines.append(line)
        return lines


@pytest.fixture
def allocation(tmp_path: Path) -> Iterator[Allocation]:
    allocation = Allocation(tmp_path, job=900_000_000 + os.getpid())
    yield allocation
    allocation.clear()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="Slurm runs on Linux")
def test_sweep_stops_before_the_time_is_over_and_goes_on_in_the_next_run(allocation: Allocation) -> None:
    first = allocation.start("tiny.yaml")
    allocation.await_word("2 running", first)
    assert "2 nodes have joined: 2 CPU" in allocation.log.read_text()  # the head's raylet has none of them
    assert len(allocation.folders) == 3  # of the head and of two workers, for this user's eyes only
    assert {path.stat().st_mode & 0o777 for path in allocation.folders} == {0o700}
    [secret] = (allocation.path / "home").glob(".genray-job-*")
    assert secret.stat().st_mode & 0o777 == 0o700
    token = secret / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert allocation.processes
    assert not [line for line in allocation.processes if token.read_text() in line]
    first.send_signal(signal.SIGUSR1)  # by Slurm, two minutes before the end
    assert first.wait(180) == 0
    work = allocation.path / "work"
    assert (work / "scontrol").read_text() == f"requeue {allocation.job}\n"
    assert not (work / "runs/tiny/comparison/comparison.json").exists()
    assert (allocation.folders, allocation.processes, list((allocation.path / "home").glob(".genray-job-*"))) == (
        [],
        [],
        [],
    )

    second = allocation.start("tiny.yaml", SLURM_RESTART_COUNT="1")
    assert second.wait(300) == 0, allocation.log.read_text()
    comparison = json.loads((work / "runs/tiny/comparison/comparison.json").read_text())
    assert [row["model"] for row in comparison["rows"]] == ["vae"]
    assert len((work / "scontrol").read_text().splitlines()) == 1
    assert (allocation.folders, allocation.processes) == ([], [])


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_cancelled_job_is_not_queued_again(allocation: Allocation) -> None:
    job = allocation.start("tiny.yaml", "--out", "elsewhere", "--trials", "2")
    allocation.await_word("running", job)
    job.terminate()
    assert job.wait(180) != 0
    assert (allocation.path / "work/elsewhere/sweep.yaml").exists()
    assert not (allocation.path / "work/scontrol").exists()
    assert allocation.folders == []


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ((), {}, ["takes a search space", "got nothing"]),
        (("tiny.yaml",), {"GENRAY_VENV": "/nowhere"}, ["/nowhere/bin/ray is missing", "launch/setup"]),
        (("tiny.yaml",), {"SLURM_SUBMIT_DIR": ""}, ["sbatch runs this"]),
    ],
)
def test_what_is_missing_is_said(
    allocation: Allocation, arguments: tuple[str, ...], environment: dict[str, str], words: list[str]
) -> None:
    assert allocation.start(*arguments, **environment).wait(60) != 0
    [line] = allocation.log.read_text().splitlines()
    assert not [word for word in words if word not in line], line


def test_shell_scripts_pass_shellcheck() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    scripts = [path for path in (ROOT / "launch").iterdir() if path.read_text().startswith("#!/usr/bin/env bash")]
    assert SCRIPT in scripts
    quiet = "--exclude=SC2317,SC2329"  # functions that a trap or `export -f` calls
    result = subprocess.run([shellcheck, quiet, *scripts], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout


def test_directives_stand_before_the_first_command_and_are_known() -> None:
    """Slurm ignores, without a word, what stands after the first command."""
    lines = SCRIPT.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    directives = {i: line for i, line in enumerate(lines) if line.startswith("#SBATCH")}
    assert max(directives) < first
    names = [re.match(r"#SBATCH --([a-z-]+)", line)[1] for line in directives.values()]
    assert len(set(names)) == len(names)
    assert {"nodes", "ntasks-per-node", "time", "signal", "requeue", "no-kill"} <= set(names)
