"""A run that hangs takes its process with it."""

import subprocess
import sys
import time

import pytest

from genray.cluster.hanging import watched

HANGS = {
    "in Python": "while True: pass",
    "in C, with the interpreter locked": "ctypes.PyDLL(None).sleep(60)",
    "in a system call": "os.read(os.pipe()[0], 1)",
}


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS.keys())
def test_a_process_that_hangs_ends_and_its_stack_says_where(hang: str) -> None:
    code = f"""
import ctypes, os
from genray.cluster.hanging import watched

def hangs():
    {hang}

with watched(lambda row: True, 0.5) as heard:
    heard({{}})
    hangs()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert "in hangs" in done.stderr


def test_neither_the_answer_to_a_row_nor_what_comes_after_the_run_counts() -> None:
    def answered_late(row: dict[str, float]) -> bool:
        time.sleep(1.2)
        return False

    with watched(answered_late, 0.6) as heard:
        assert heard({}) is False
    time.sleep(0.7)


def test_a_time_that_no_process_lives_is_none() -> None:
    with watched(lambda row: True, 1e300) as heard:
        assert heard({}) is True
