"""Both boards through one tunnel; the head's half is real but for Ray."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.remote.conftest import ROOT, Laptop, heed_ctrl_c
from tests.cluster.remote.fake_ray import FakeRay


def get(url: str, token: str = "") -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def serving(folder: Path) -> bool:
    command = ["pgrep", "-f", f"tensorboard.main --logdir {folder}/"]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.slow
def test_both_boards_are_reached_and_end_with_ctrl_c(laptop: Laptop, fake_ray: FakeRay) -> None:
    command = [sys.executable, "-u", "-m", "genray", "cluster", "board", str(laptop.cluster(fake_ray.port))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment, preexec_fn=heed_ctrl_c) as board:
        assert board.stdout
        (_, curves), (_, dashboard) = (board.stdout.readline().split() for _ in range(2))
        assert "asks for the token once" in board.stdout.readline()
        assert [get(f"{dashboard}/api/jobs/", token) for token in ("", "secret")] == [403, 200]
        end = time.monotonic() + 120
        while get(curves) != 200:
            assert time.monotonic() < end
            time.sleep(0.5)
        assert serving(laptop.head)
        board.send_signal(signal.SIGINT)
        _, said = board.communicate(timeout=60)
    assert (board.returncode, said) == (130, "genray: closed\n")
    end = time.monotonic() + 30
    while serving(laptop.head):
        assert time.monotonic() < end, "TensorBoard outlived the tunnel"
        time.sleep(0.2)
