"""A sweep watched from beside it, with a driver that is another process."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from genray.cluster import snapshot, watch
from genray.cluster.progress import Progress
from genray.cluster.queue import Status
from genray.cluster.snapshot import Snapshot
from genray.cluster.view import View
from genray.endings import Stopped
from genray.errors import Fault, UserError

STATUS = Status("vae", 8, 3, 0, 0, 1, 5, 0, 0, 12.3456, "")
NOW = Snapshot("running", 1.0, "", ("starting Ray",), "frechet", 60.0, 75.0, (STATUS,))

DRIVER = """
import pathlib, signal, sys, time
from genray.cluster import snapshot
folder = pathlib.Path(sys.argv[1])
with snapshot.alive(folder) as ours:
    print(ours, flush=True)
    signal.sigwait([signal.SIGTERM])
"""


@contextmanager
def driver(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", DRIVER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sweep.yaml").touch()
    (tmp_path / "comparison").mkdir()
    comparison = {"rows": [{"runs": ["/on/the/head/quick/vae/finalist_0"]}]}
    (tmp_path / "comparison/comparison.json").write_text(json.dumps(comparison))
    return tmp_path


def test_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    snapshot.write(tmp_path, NOW)
    assert snapshot.read(tmp_path) == NOW
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "running"}', '{"models": [], "said": [], "later": 1}'])
def test_what_another_version_wrote_is_no_snapshot(text: str) -> None:
    assert snapshot.parse(text) is None


def test_process_that_is_killed_is_gone_at_once(tmp_path: Path) -> None:
    assert not snapshot.is_alive(tmp_path)
    with driver(tmp_path) as process:
        assert snapshot.is_alive(tmp_path)
        with snapshot.alive(tmp_path) as ours:
            assert not ours, "one process at a time"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not snapshot.is_alive(tmp_path)


@pytest.mark.parametrize(
    ("last", "kind", "words"),
    [
        (replace(NOW, state="stopped", code=130), Stopped, "the sweep was stopped; what was done is in"),
        (replace(NOW, state="failed", code=2, reason="no room"), UserError, "no room; what was done is in"),
        (replace(NOW, state="failed", code=1, reason="disk full"), Fault, "disk full; what was done is in"),
    ],
)
def test_watching_ends_as_the_sweep_does(last: Snapshot, kind: type[Exception], words: str, folder: Path) -> None:
    snapshot.write(folder, last)
    stream = io.StringIO()
    with pytest.raises(kind, match=words):
        watch.watch(folder, View(stream))
    assert stream.getvalue().splitlines() == [
        "starting Ray",
        "[1 min 0 s, about 1 min 15 s left]  vae: 3/8 trials, 1 running, best 12.3",
    ]


def test_finished_sweep_gives_its_comparison(folder: Path) -> None:
    snapshot.write(folder, replace(NOW, state="finished", code=0))
    seen_from_here = {"rows": [{"runs": [str(folder / "vae/finalist_0")]}]}
    assert watch.watch(folder, View(io.StringIO())) == (seen_from_here, folder / "comparison")


def test_killed_sweep_is_told_from_one_that_is_silent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "GONE_S", 0.5)
    snapshot.write(folder, NOW)
    with driver(folder) as process:
        began = time.monotonic()
        threading.Timer(2.0, process.kill).start()
        with pytest.raises(Fault, match=r"the sweep's process is gone; .* --resume goes on"):
            watch.watch(folder, View(io.StringIO()))
        assert time.monotonic() - began > 2


def test_old_end_of_a_sweep_that_goes_on_is_not_its_end(folder: Path) -> None:
    snapshot.write(folder, replace(NOW, state="stopped", code=130))
    with driver(folder) as process:

        def meanwhile() -> None:
            snapshot.write(folder, replace(NOW, began=2.0, state="finished", code=0))
            process.kill()

        threading.Timer(2.0, meanwhile).start()
        assert watch.watch(folder, View(io.StringIO()))[1] == folder / "comparison"


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sweep"):
        watch.watch(tmp_path)


class Played:
    finished = False

    def status(self) -> list[Status]:
        return [STATUS]

    def seconds_left(self) -> float | None:
        return 75.0


@pytest.mark.parametrize(
    ("error", "state", "code", "reason"),
    [
        (None, "finished", 0, ""),
        (KeyboardInterrupt(), "stopped", 130, ""),
        (UserError("no room"), "failed", 2, "no room"),
        (OSError(28, "No space left on device", "x"), "failed", 2, "x: No space left on device"),
        (OSError(5, "Input/output error", "x"), "failed", 1, "x: Input/output error"),
        (KeyError("k"), "failed", 1, "KeyError: 'k'"),
    ],
)
def test_driver_leaves_how_it_ended(
    error: BaseException | None, state: str, code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(snapshot.JOB, "tiny-1")
    progress = Progress(io.StringIO(), folder=tmp_path)
    progress.say("before the folder is this sweep's")
    assert not list(tmp_path.iterdir())
    (tmp_path / "sweep.yaml").touch()
    progress.begin(Played(), "frechet")
    now = snapshot.read(tmp_path)
    assert now is not None
    assert (now.state, now.job, now.models, now.left_s) == ("running", "tiny-1", (STATUS,), 75.0)
    assert now.said == ("before the folder is this sweep's",)
    assert snapshot.is_alive(tmp_path)
    progress.__exit__(type(error) if error else None, error, None)
    last = snapshot.read(tmp_path)
    assert last is not None
    assert (last.state, last.code, last.reason, last.models) == (state, code, reason, (STATUS,))
    assert not snapshot.is_alive(tmp_path)


def test_folder_that_another_works_in_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").touch()
    snapshot.write(tmp_path, NOW)
    with driver(tmp_path), Progress(io.StringIO(), folder=tmp_path) as progress:
        progress.begin(Played(), "frechet")
    assert snapshot.read(tmp_path) == NOW
    assert json.loads((tmp_path / "progress.json").read_text())["began"] == 1.0
