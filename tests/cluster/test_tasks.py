"""Parts of a study over a real Ray on this machine, and the folder that keeps them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from genray.cluster import environment
from genray.cluster.ask import ask
from genray.errors import Fault, UserError
from genray.studies.base import Part
from tests.studies import fakes
from tests.studies.fakes import Squares

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # Ray warns of itself


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    environment.prepare(None)
    from genray.cluster import resources

    with resources.connected(None, data_bytes=0, verbose=False):
        yield


def squares(*numbers: float, **arguments: Any) -> list[Part]:
    return [Part(f"of-{n:g}", fakes.square, {"number": n, **arguments}) for n in numbers]


def modified(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}


def test_all_parts_are_done_and_the_answer_is_made_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch, Squares(*squares(*range(12))))
    found = ask("squares", out=tmp_path / "out")
    assert found["data"] == {"squares": {f"of-{n}": n * n for n in range(12)}}
    assert found == json.loads((tmp_path / "out" / "study.json").read_text())
    assert found["cost"]["parts"] == 12


def test_parts_are_begun_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that after `minutes` those are done which can be compared first."""
    begun = tmp_path / "begun"
    fakes.install(monkeypatch, Squares(*squares(*range(16), count=str(begun), seconds=0.2)))
    ask("squares", out=tmp_path / "out")
    order = [int(number) for number in begun.read_text().split()]
    at_once = int(ray.cluster_resources()["CPU"])
    assert sorted(order) == list(range(16))
    assert all(number - place < at_once for place, number in enumerate(order)), order


def test_a_part_that_asks_for_a_gpu_is_done_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.install(monkeypatch, Squares(*(replace(part, gpu=1.0) for part in squares(2, 3))))
    assert ask("squares", out=tmp_path / "out")["data"] == {"squares": {"of-2": 4, "of-3": 9}}


def test_resume_does_only_what_is_missing_or_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    fakes.install(monkeypatch, Squares(*squares(1, 2, 3)))
    ask("squares", out=out)
    before = modified(out)
    changed = Part("of-2", fakes.square, {"number": 20})
    fakes.install(monkeypatch, Squares(*squares(1), changed, *squares(3, 4)))
    found = ask("squares", out=out, resume=True)
    after = modified(out)
    assert {name for name in after if after[name] != before.get(name)} == {"of-2.json", "of-4.json"}
    assert found["data"]["squares"] == {"of-1": 1, "of-2": 400, "of-3": 9, "of-4": 16}


def test_a_part_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    fakes.install(monkeypatch, Squares(*squares(3, count=str(tmp_path / "count"), failures=1)))
    assert ask("squares", out=tmp_path / "out")["data"] == {"squares": {"of-3": 9}}
    assert "of-3 failed and is tried again: ArithmeticError: the square did not come out\n" in capfd.readouterr().err


def test_parts_that_keep_failing_are_told_after_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    bad = squares(3, count=str(tmp_path / "count"), failures=2)
    fakes.install(monkeypatch, Squares(*bad, Part("dead", fakes.die), *squares(4, 5)))
    with pytest.raises(Fault, match=r"2 of 4 parts failed: .*of-3: ArithmeticError: the square.*--resume") as error:
        ask("squares", out=out)
    assert "dead: " in str(error.value)
    assert modified(out).keys() == {"of-4.json", "of-5.json"}
    said = json.loads((out / "study.json").read_text())
    assert said["data"]["squares"] == {"of-4": 16, "of-5": 25}
    assert said["not_reached"] == {"of-3": "not begun", "dead": "not begun"}
    fakes.install(monkeypatch, Squares(*bad, *squares(4, 5)))
    assert ask("squares", out=out, resume=True)["data"]["squares"] == {"of-3": 9, "of-4": 16, "of-5": 25}


def test_an_outcome_that_json_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch, Squares(*squares(float("inf"))))
    with pytest.raises(Fault, match="JSON compliant"):
        ask("squares", out=tmp_path / "out")


def test_wrong_input_found_by_a_part_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.install(monkeypatch, Squares(Part("lacking", fakes.lack, {"what": "MNIST"})))
    with pytest.raises(UserError, match=r"^MNIST is not there; download it$"):
        ask("squares", out=tmp_path / "out")


def test_a_part_whose_process_dies_goes_on_from_what_it_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    climb = Part("climb", fakes.climb, {"steps": 6, "deaths": str(tmp_path / "died")})
    fakes.install(monkeypatch, Squares(climb, *squares(2)))
    assert ask("squares", out=out)["data"]["squares"] == {"climb": 36, "of-2": 4}
    assert json.loads((out / "parts" / "climb.json").read_text())["outcome"]["own"] == [3, 4, 5, 6]
    assert modified(out).keys() == {"climb.json", "of-2.json"}


def test_after_its_minutes_a_study_answers_from_what_there_is_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, steps = tmp_path / "out", 80
    climb = Part("climb", fakes.climb, {"steps": steps, "seconds": 0.5})
    fakes.install(monkeypatch, Squares(*squares(2), climb))
    found = ask("squares", out=out, minutes=0.4)
    assert found["data"]["squares"] == {"of-2": 4}
    reached = found["not_reached"]["climb"]
    assert reached.startswith("step ")
    assert f"1 of 2 parts done; climb is at {reached}" in (out / "index.html").read_text()
    found = ask("squares", out=out, resume=True)
    assert found["data"]["squares"] == {"of-2": 4, "climb": steps * steps}
    assert found["not_reached"] == {}
    own = json.loads((out / "parts" / "climb.json").read_text())["outcome"]["own"]
    assert own == list(range(int(reached.split()[1]) + 1, steps + 1))


PROGRAM = """
import sys
import pytest
from genray.cli import main
from genray.studies.base import Part
from tests.studies import fakes
parts = [Part(f"of-{n}", fakes.square, {"number": n, "seconds": 0.0 if n < 2 else 3.0}) for n in range(8)]
fakes.install(pytest.MonkeyPatch(), fakes.Squares(*parts))
sys.exit(main(["study", "squares", "--out", *sys.argv[1:]]))
"""


def test_after_its_minutes_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is always something to hear."""
    from genray.cluster import tasks

    class Told:
        def wait(self, running: list[object], **given: object) -> tuple[list[object], list[object]]:
            return running[:1], running[1:]

        def get(self, told: object) -> object:
            time.sleep(0.02)
            return told

        def cancel(self, *given: object, **named: object) -> None: ...

    begun = []
    monkeypatch.setattr(tasks, "ray", Told())
    monkeypatch.setattr(tasks, "_at_once", lambda: 8)
    monkeypatch.setattr(tasks, "_begin", lambda part, at: iter([begun.append(part.name)]))
    started = time.monotonic()
    tasks.do(squares(*range(500)), {}, lambda part, found: None, print, seconds=0.3)
    assert time.monotonic() - started < 3
    assert 8 < len(begun) < 100


def test_ctrl_c_leaves_no_process_and_the_study_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def begin(*options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", PROGRAM, str(out), *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    driver = begin()
    end = time.monotonic() + 90
    while len(list(out.glob("parts/*.json"))) < 2:
        assert time.monotonic() < end, driver.poll()
        time.sleep(0.05)
    started = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGINT)
    said = driver.communicate(timeout=60)[0]
    assert driver.returncode == 130, said
    assert "--resume" in said.splitlines()[-1]
    assert "Traceback" not in said
    psutil.wait_procs(started, timeout=30)
    assert not any(process.is_running() for process in started)
    before = modified(out)
    assert 0 < len(before) < 8

    driver = begin("--resume")
    said = driver.communicate(timeout=120)[0]
    assert driver.returncode == 0, said
    assert "does not hold: a | b < c" in said
    assert {name: time for name, time in modified(out).items() if name in before} == before
    assert len(modified(out)) == 8
