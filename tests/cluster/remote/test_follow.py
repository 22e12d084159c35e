"""A job seen from the laptop: its end, its reason, its connection."""

import json
import threading
import time
from pathlib import Path

import pytest

from genray.cli import main
from genray.cluster.queue import Status
from genray.cluster.remote import poll
from genray.cluster.remote.follow import said
from genray.cluster.remote.jobs import Jobs, NoRay
from genray.cluster.snapshot import Snapshot, write
from tests.cluster.remote.conftest import Laptop, needs_rsync, says
from tests.cluster.remote.fake_ray import FakeRay

JOB = "tiny-20260131-120000"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "POLL_S", 0.1)


def attach(laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str], code: int, job: str | None = JOB) -> str:
    return says(capsys, code, "cluster", "attach", laptop.cluster(ray.port), *([job] if job else []))


@pytest.mark.parametrize(
    ("state", "details", "log", "code", "words"),
    [
        ("STOPPED", {}, "", 130, f"{JOB} was stopped; what was done is in ~/genray-runs/tiny on the head"),
        ("FAILED", {"driver_exit_code": 2}, "x\ngenray: trials must be >= 1\n", 2, f"{JOB}: trials must be >= 1"),
        ("FAILED", {"driver_exit_code": 1}, "genray: a\ngenray: no space left\n", 1, f"{JOB}: no space left"),
        ("FAILED", {"driver_exit_code": 130}, "genray: stopped\n", 130, f"{JOB}: stopped"),
        ("FAILED", {"driver_exit_code": 1}, "Traceback\nKeyError: 'x'\n", 1, f"{JOB}: KeyError: 'x'"),
        ("FAILED", {"message": "runtime_env\nsetup failed: no room"}, "", 1, f"{JOB}: setup failed: no room"),
        ("FAILED", {}, "", 1, "failed without a word"),
    ],
)
def test_end_of_a_job_is_the_end_of_the_command(
    state: str,
    details: dict[str, object],
    log: str,
    code: int,
    words: str,
    laptop: Laptop,
    fake_ray: FakeRay,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake_ray.add(JOB, state, log=log, **details)
    assert words in attach(laptop, fake_ray, capsys, code)


def test_rays_own_lines_are_not_the_sweeps() -> None:
    log = (
        "2026-11-22 21:47:59,974\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
        "Running entrypoint for job x: exec python\n"
        "\x1b[36m2026-11-22 21:48:00 WARNING\x1b[0m y\n"
        "tiny: vae; 3 trials each\n"
        "[5.3 s]  vae: 0/3 trials\n"
    )
    assert said(log) == ["tiny: vae; 3 trials each", "[5.3 s]  vae: 0/3 trials"]


def test_the_latest_is_followed_and_others_are_named(
    laptop: Laptop, fake_ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the cluster has no sweep yet" in attach(laptop, fake_ray, capsys, 2, None)
    fake_ray.add("old-20260131-110000", "SUCCEEDED", start_time=1)
    fake_ray.add(JOB, "STOPPED", start_time=2)
    fake_ray.add("estimate-tiny-20260131-130000", "SUCCEEDED", kind="estimate", start_time=3)
    fake_ray.add("raysubmit-of-others", "RUNNING", kind="", start_time=4)
    assert f"{JOB} was stopped" in attach(laptop, fake_ray, capsys, 130, None)
    assert f"no job 'tiny-20260131-120001'; did you mean '{JOB}'?" in attach(
        laptop, fake_ray, capsys, 2, "tiny-20260131-120001"
    )
    assert main(["cluster", "jobs", str(laptop.cluster(fake_ray.port))]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert rows == [["JOB", "STATE", "SWEEP"], [JOB, "stopped", "tiny"], ["old-20260131-110000", "succeeded", "old"]]


def test_a_token_of_another_cluster_is_refused(
    laptop: Laptop, fake_ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_ray.token = "another"
    line = attach(laptop, fake_ray, capsys, 2)
    assert "the cluster refuses the token of this machine: it was started with another" in line


@needs_rsync
def test_a_lost_connection_is_made_again_without_a_word(
    laptop: Laptop, fake_ray: FakeRay, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "PAUSES_S", (0.2,))
    fake_ray.add(JOB, "RUNNING", log="starting Ray\n")
    folder = laptop.head / "genray-runs/tiny"
    folder.mkdir(parents=True)

    def meanwhile() -> None:
        until(lambda: is_followed(fake_ray))
        write(folder, snapshot(complete=1))
        time.sleep(1)
        laptop.broken.write_text("Connection timed out")
        time.sleep(1)
        laptop.broken.unlink()
        calls = len(laptop.calls)
        until(lambda: len(laptop.calls) > calls)
        write(folder, snapshot(complete=2))
        time.sleep(1)
        fake_ray.jobs[JOB]["status"] = "SUCCEEDED"

    thread = threading.Thread(target=meanwhile)
    thread.start()
    assert main(["cluster", "attach", str(laptop.cluster(fake_ray.port)), JOB]) == 0
    thread.join()
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert lines[0] == f"{JOB} on lab"
    assert "vae: 1/2 trials, 1 running" in shown.err
    assert "vae: 2/2 trials" in lines[-1]
    assert not [line for line in lines if "connection" in line.lower()]
    assert shown.out.split() == [
        "fetched",
        "runs/tiny",
        "page",
        "none",
        "yet:",
        "the",
        "sweep",
        "has",
        "not",
        "finished",
    ]
    assert json.loads(Path("runs/tiny/progress.json").read_text())["models"][0]["complete"] == 2


def test_a_long_loss_is_told_once_and_a_head_without_the_job_ends_it(
    laptop: Laptop, fake_ray: FakeRay, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "PAUSES_S", (0.1,))
    monkeypatch.setattr(poll, "QUIET_S", 0.5)
    fake_ray.add(JOB, "RUNNING")

    def meanwhile() -> None:
        until(lambda: is_followed(fake_ray))
        time.sleep(1)
        laptop.broken.write_text("No route to host")
        time.sleep(3)
        fake_ray.jobs.clear()
        laptop.broken.unlink()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    capsys.readouterr()
    assert main(["cluster", "attach", str(laptop.cluster(fake_ray.port)), JOB]) == 1
    thread.join()
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "no connection to the head; the job goes on, and this tries again"
    assert f"the cluster does not know {JOB} any more: its head was started anew" in lines[2]
    assert len(lines) == 3


def test_a_head_whose_ray_is_gone_is_given_up(
    laptop: Laptop, fake_ray: FakeRay, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "NO_RAY_S", 0.5)
    monkeypatch.setattr(poll, "PAUSES_S", (0.2,))
    fake_ray.add(JOB, "RUNNING")

    def meanwhile() -> None:
        until(lambda: is_followed(fake_ray))
        fake_ray.server.shutdown()
        fake_ray.server.server_close()

    thread = threading.Thread(target=meanwhile)
    thread.start()
    line = attach(laptop, fake_ray, capsys, 1)
    thread.join()
    assert "Ray does not answer on the head" in line
    assert "--resume goes on" in line


def test_a_ray_that_is_gone_while_the_log_is_read_is_asked_again(
    laptop: Laptop, fake_ray: FakeRay, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll, "PAUSES_S", (0.1,))
    fake_ray.add(JOB, "RUNNING")
    gone, logs = [NoRay("gone")], Jobs.logs

    def read(jobs: Jobs, job: str) -> str:
        if gone:
            raise gone.pop()
        fake_ray.jobs[JOB]["status"] = "STOPPED"
        return logs(jobs, job)

    monkeypatch.setattr(Jobs, "logs", read)
    assert f"{JOB} was stopped" in attach(laptop, fake_ray, capsys, 130)


def test_stop_waits_until_it_has(laptop: Laptop, fake_ray: FakeRay, capsys: pytest.CaptureFixture[str]) -> None:
    fake_ray.add(JOB, "RUNNING")
    cluster = str(laptop.cluster(fake_ray.port))
    assert main(["cluster", "stop", cluster, JOB]) == 0
    assert f"{JOB} is stopped" in capsys.readouterr().out
    assert main(["cluster", "stop", cluster, JOB]) == 0
    assert "was over already: stopped" in capsys.readouterr().out


def is_followed(fake_ray: FakeRay) -> bool:
    """By looks at it again and again; the first is that of a command which may still refuse."""
    return fake_ray.asked.count(f"/api/jobs/{JOB}") > 2


def snapshot(*, complete: int) -> Snapshot:
    status = Status("vae", 2, complete, 0, 0, 2 - complete, 2, 0, 0, 12.0, "")
    return Snapshot("running", time.time(), JOB, ("starting Ray",), "frechet", 5.0 * complete, None, (status,))


def until(condition: object, timeout_s: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_dashboard_that_could_not_answer_once_may_be_asked_again(
    fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_ray, "_answer", lambda *given: (503, b"busy"))
    with pytest.raises(NoRay, match=r"could not answer /api/jobs/mine \(503\): busy"):
        Jobs(fake_ray.port, "secret").info("mine")
