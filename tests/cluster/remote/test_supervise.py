"""With real signals: the sweep is a script that does what its plan says, one word a start."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genray.cluster.remote import supervise

SWEEP = """
import json, os, pathlib, signal, sys
folder, *arguments = sys.argv[1:]
started = pathlib.Path(folder, "started")
plan = pathlib.Path(folder, "plan").read_text().split()
count = len(started.read_text().splitlines()) if started.exists() else 0
with started.open("a") as file:
    print(*arguments, file=file)
do = plan[min(count, len(plan) - 1)]
if do == "open":
    pathlib.Path(folder, "sweep.yaml").touch()
    do = "SIGKILL"
if do == "stop":  # as Ray does it: the supervisor and the sweep are told, and the sweep may be killed later
    os.kill(os.getppid(), signal.SIGTERM)
    do = "SIGKILL"
if do == "note":
    sys.exit(0 if os.environ["GENRAY_NOTE"].endswith("(SIGKILL); it goes on from what was saved, 1 of 5 times") else 7)
if do == "blocked":
    sys.exit(7 if signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []) else 0)
if do.startswith("SIG"):
    os.kill(os.getpid(), getattr(signal, do))
sys.exit(int(do))
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "script.py").write_text(SWEEP)
    monkeypatch.setattr(supervise, "SWEEP", (sys.executable, str(tmp_path / "script.py"), str(tmp_path)))
    monkeypatch.setattr(supervise, "PAUSE_S", 0.0)
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("plan", "code", "starts"),
    [
        ("0", 0, ["space.yaml"]),
        ("2", 2, ["space.yaml"]),  # refused: again would be refused again
        ("1", 1, ["space.yaml"]),
        ("130", 130, ["space.yaml"]),
        ("open 0", 0, ["space.yaml", "space.yaml --resume"]),
        ("open SIGSEGV SIGTERM 0", 0, ["space.yaml", *["space.yaml --resume"] * 3]),
        ("SIGKILL 0", 0, ["space.yaml", "space.yaml"]),  # killed before it opened its folder
        ("open SIGKILL 1", 1, ["space.yaml", *["space.yaml --resume"] * 2]),
        ("stop", 130, ["space.yaml"]),
        ("open stop", 130, ["space.yaml", "space.yaml --resume"]),
        ("open", 1, ["space.yaml", *["space.yaml --resume"] * supervise.MOST]),
    ],
)
def test_killed_sweep_goes_on_and_any_other_end_is_passed_on(
    plan: str, code: int, starts: list[str], sweep: Path
) -> None:
    (sweep / "plan").write_text(plan)
    assert supervise.main([str(sweep), "space.yaml"]) == code
    assert (sweep / "started").read_text().splitlines() == starts


def test_the_sweep_that_goes_on_is_told_why_and_no_one_else(sweep: Path) -> None:
    (sweep / "plan").write_text("SIGKILL note")
    before = dict(os.environ)
    assert supervise.main([str(sweep), "space.yaml"]) == 0
    assert dict(os.environ) == before


def test_a_signal_that_ray_blocks_reaches_the_sweep(sweep: Path) -> None:
    (sweep / "plan").write_text("blocked")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        assert supervise.main([str(sweep), "space.yaml"]) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
