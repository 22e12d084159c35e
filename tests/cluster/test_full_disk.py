"""Sweeps and studies over a real Ray whose disk is full, or becomes read-only, or whose driver is killed, half-way."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from genray.runs import open_run
from tests.test_full_disk import FIXES

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# a read-only disk goes the way of a full one but for its words, which tests without Ray compare
CODES = [pytest.param(code, marks=[] if code == errno.ENOSPC else pytest.mark.nightly) for code in FIXES]

TREE: dict[str, Any] = {
    "name": "full",
    "experiment": {
        "dataset": "digits",
        "epochs": 4,
        "evaluate_every": 1,
        "checkpoint_every": 1,
        "metrics": ["frechet"],
    },
    "models": ["vae"],
    "search": {"model.hidden": {"choice": [16, 24]}},
    "trials": 4,
    "lanes": 1,
    "max_failures": 0,  # a full disk is no failure of the run
    "optuna": {"sampler": "random"},
    "scheduler": None,
    "finalists": {"seeds": 1},
}

# The driver's own changes of a folder fail from when a file is there.
BREAKS = """
import os, sys
from pathlib import Path
from genray.cli import main
from tests.faults import before_changes
folder, sign, code = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def fail(number, event):
    if sign.exists():
        raise OSError(code, os.strerror(code), str(folder))
before_changes(folder, fail)
sys.exit(main(sys.argv[4:]))
"""

STUDY = """
import sys
import pytest
from genray.cli import main
from genray.studies.base import Part
from tests.studies import fakes
climbs = [Part(name, fakes.climb, {"steps": 12, "seconds": 0.5}) for name in ("a", "b")]
fakes.install(pytest.MonkeyPatch(), fakes.Squares(Part("c", fakes.square, {"number": 3}), *climbs))
"""


MAIN = "import sys; from genray.cli import main; sys.exit(main(sys.argv[1:]))"


def genray(*arguments: str | Path, program: str = MAIN) -> Any:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ends(process: Any) -> tuple[int, str]:
    """Its exit code, and the last line of what it says to standard error, of which it has no other for an error."""
    said = process.communicate(timeout=240)[1]
    assert "Traceback" not in said
    lines = said.splitlines()
    assert not [line for line in lines[:-1] if line.startswith("genray: ")]
    return process.returncode, lines[-1]


def trials(out: Path) -> list[optuna.trial.FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(out / "study.journal"))
    return optuna.load_study(study_name="vae", storage=optuna.storages.JournalStorage(backend)).get_trials()


def assert_whole(out: Path) -> None:
    assert [trial.state for trial in trials(out)] == [TrialState.COMPLETE] * 4
    for run in ("trial_0000", "trial_0001", "trial_0002", "trial_0003", "finalist_0"):
        assert [row["epoch"] for row in open_run(out / "vae" / run).history] == list(range(5)), run
    assert (out / "comparison" / "index.html").exists()


MOUNTED = """
set -u
mount -t tmpfs -o size=$2k tmpfs "$1/disk"
"$3" -m genray sweep "$1/space.yaml" --out "$1/disk/out" >"$1/first" 2>&1
echo $? >"$1/code"
cp -r "$1/disk/out/study.journal" "$1/journal"
mount -o remount,size=50m "$1/disk"
"$3" -m genray sweep "$1/space.yaml" --out "$1/disk/out" --resume >"$1/second" 2>&1
echo $? >>"$1/code"
cp -r "$1/disk/out" "$1/out"
"""


@pytest.mark.hosts
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk, which needs root")
# in the middle of the first run, and of the third
@pytest.mark.parametrize("kilobytes", [500, pytest.param(1500, marks=pytest.mark.nightly)])
def test_a_sweep_on_a_full_disk_ends_in_one_line_and_goes_on(kilobytes: int, tmp_path: Path) -> None:
    """A disk of the kernel's own, so that Ray's and Tune's writes fail too."""
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(TREE))
    (tmp_path / "disk").mkdir()
    shell = ["unshare", "--mount", "bash", "-c", MOUNTED, "sh", str(tmp_path), str(kilobytes), sys.executable]
    subprocess.run(shell, check=True, timeout=500)
    lines = (tmp_path / "first").read_text().splitlines()
    assert (tmp_path / "code").read_text().split() == ["2", "0"], lines[-5:]
    [said] = [line for line in lines if line.startswith("genray: ")]
    assert said == lines[-1]
    assert f"{tmp_path}/disk/out/vae/trial_" in said
    assert "No space left on device; free some room on that disk; the same command with --resume goes on" in said
    assert '"state": 3' not in (tmp_path / "journal").read_text(), "no trial has failed"
    assert_whole(tmp_path / "out")


@pytest.mark.parametrize("code", CODES)
def test_a_sweep_whose_driver_cannot_write_ends_in_one_line_and_goes_on(code: int, tmp_path: Path) -> None:
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    space.write_text(yaml.safe_dump(TREE))
    sign = out / "vae" / "trial_0001" / "metrics.jsonl"
    ended, said = ends(genray(out, sign, str(code), "sweep", space, "--out", out, program=BREAKS))
    assert ended == 2, said
    assert said.startswith(f"genray: {out}: {os.strerror(code)}; {FIXES[code]}")
    assert "--resume" in said
    assert TrialState.FAIL not in [trial.state for trial in trials(out)]
    ended, said = ends(genray("sweep", space, "--out", out, "--resume"))
    assert ended == 0, said
    assert_whole(out)


def study(out: Path, *options: str, before: str = "") -> Any:
    end = 'sys.exit(main(["study", "squares", "--out", *sys.argv[1:]]))\n'
    return genray(out, *options, program=STUDY + before + end)


def assert_answered(out: Path, begun: dict[str, int]) -> None:
    """From where the parts had begun."""
    found = json.loads((out / "study.json").read_text())
    assert found["data"]["squares"] == {"a": 144, "b": 144, "c": 9}
    assert found["not_reached"] == {}
    for name, reached in begun.items():
        own = json.loads((out / "parts" / f"{name}.json").read_text())["outcome"]["own"]
        assert own == list(range(reached + 1, 13))
    assert {path.name for path in (out / "parts").iterdir()} == {"a.json", "b.json", "c.json"}


def reached(out: Path) -> dict[str, int]:
    heads = {path.stem: json.loads(path.read_bytes().partition(b"\n")[0]) for path in (out / "parts").glob("*.begun")}
    return {name: int(head["reached"].split()[1]) for name, head in heads.items()}


@pytest.mark.parametrize("code", CODES)
def test_a_study_whose_driver_cannot_write_ends_in_one_line_and_goes_on(code: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    breaks = f"""
from tests.faults import before_changes
from pathlib import Path
import os
def fail(number, event):
    if Path({str(out / "parts" / "c.json")!r}).exists() and Path({str(out / "parts" / "a.begun")!r}).exists():
        raise OSError({code}, os.strerror({code}), {str(out)!r})
before_changes({str(out)!r}, fail)
"""
    ended, said = ends(study(out, before=breaks))
    assert ended == 2, said
    assert os.strerror(code) in said
    assert FIXES[code] in said
    assert "--resume" in said
    begun = reached(out)
    assert begun
    ended, said = ends(study(out, "--resume"))
    assert ended == 0, said
    assert_answered(out, begun)


def test_a_study_that_is_killed_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    driver = study(out)
    end = time.monotonic() + 120
    while not (out / "parts" / "c.json").exists() or not (out / "parts" / "a.begun").exists():
        assert time.monotonic() < end, driver.poll()
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=60)
    begun = reached(out)
    assert begun
    ended, said = ends(study(out, "--resume"))
    assert ended == 0, said
    assert_answered(out, begun)
