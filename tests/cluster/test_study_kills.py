"""A study that is killed between any two changes of its folder, or whose disk breaks there; and its folder, damaged.

Ray writes nothing to it: all that does is the driver, which is the real one here. The parts are done in
its own process.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from genray.cli import main
from genray.cluster import parts, resources, tasks
from genray.cluster.ask import ask
from genray.cluster.parts import Asked, Begun, Record, Shelf
from genray.errors import UserError
from genray.studies.base import Part, Pieces, Saved
from tests.faults import cuts, ends_before
from tests.studies import fakes
from tests.test_full_disk import FIXES, outages, seen
from tests.test_kills import hidden

pytestmark = [
    pytest.mark.ray,  # imports it
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # it forks on purpose
]
STEPS = 3


def add(name: str, log: str, saved: bytes | None = None) -> Pieces:
    """Adds up the first squares, a piece each; `log` is a file that holds a line for each piece that was done."""
    step, total = json.loads(saved or b"[0, 0]")
    while step < STEPS:
        step, total = step + 1, total + (step + 1) ** 2
        with Path(log).open("a") as file:
            file.write(f"{name}-{step}\n")
        yield Saved(json.dumps([step, total]).encode(), f"step {step} of {STEPS}")
    return {"square": total}


def in_this_process(
    todo: Sequence[Part],
    begun: Mapping[str, Begun],
    keep: Callable[[Part, Begun | Record], object],
    tell: Callable[[str], object],
    *,
    seconds: float | None = None,
) -> dict[str, str]:
    """What `tasks.do` does, without Ray: a piece of each part in turn, as from several machines."""
    working = {part.name: (part, tasks._do(part, begun.get(part.name))) for part in todo}
    while working:
        for name, (part, work) in list(working.items()):
            keep(part, found := next(work))
            if isinstance(found, Record):
                del working[name]
    return {}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of pieces that were done, by a study of three parts in which nothing tells the time."""
    log = tmp_path / "log"
    pieces = [Part(name, add, {"name": name, "log": str(log)}) for name in ("a", "b")]
    fakes.install(monkeypatch, fakes.Squares(*pieces, Part("c", fakes.square, {"number": 3})))
    monkeypatch.setattr(tasks, "do", in_this_process)
    monkeypatch.setattr(tasks, "_since", lambda started: 1.0)
    monkeypatch.setattr(resources, "connected", lambda *args, **options: contextlib.nullcontext())
    monkeypatch.setattr("genray.cluster.environment.prepare", lambda address: None)
    monkeypatch.setattr("genray.cluster.ask._tell", lambda text: None)
    return log


def go_on(out: Path) -> None:
    ask("squares", out=out, resume=(out / "study.yaml").exists())


def test_a_study_goes_on_to_the_same_bytes(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go_on(out)
    whole, pieces = seen(out), log.read_text().splitlines()
    assert {"study.json", "study.md", "index.html", "figures/squares.png", "parts/a.json"} < set(whole)
    assert len(pieces) == 2 * STEPS

    def anew(cut: int) -> Path:
        shutil.rmtree(out)
        log.unlink(missing_ok=True)
        return out

    for folder in cuts(go_on, anew, at_least=60):
        go_on(folder)
        assert seen(folder) == whole
        assert not hidden(folder)
        done = Counter(log.read_text().splitlines())
        assert set(done) == set(pieces)
        assert done.total() <= len(pieces) + 1, "more was done again than the piece that was not yet kept"


def test_a_study_that_is_killed_again_and_again_comes_to_its_end(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go_on(out)
    whole = seen(out)
    shutil.rmtree(out)
    kills = 0
    while ends_before(kills, lambda: go_on(out), out):
        kills += 1
    assert kills >= 15
    assert seen(out) == whole


@pytest.mark.parametrize("code", FIXES)
def test_where_its_disk_breaks_a_study_ends_in_one_line_and_goes_on(code: int, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    go_on(out)
    whole, pieces = seen(out), len(log.read_text().splitlines())
    shutil.rmtree(out)
    log.unlink()
    for _ in outages(["study", "squares", "--out", str(out)], out, code, at_least=10):
        go_on(out)
        assert seen(out) == whole
        assert len(log.read_text().splitlines()) <= pieces + 1
        shutil.rmtree(out)
        log.unlink()


PARTS = [Part(name, fakes.climb, {"steps": steps}) for name, steps in (("a", 3), ("b", 3), ("c", 4))]
ASKED = Asked("squares", "quick", {"epochs": 3})
STATE = Begun(Saved(bytes(range(64)), "step 1 of 3"), 2.5)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    with parts.opened(tmp_path / "out", ASKED) as shelf:
        shelf.keep(PARTS[0], Record({"square": 9, "names": ["é", "x"]}, 3.25))
        shelf.save(PARTS[1], STATE)
    return shelf


def damaged(content: bytes) -> Iterator[bytes]:
    """Cut off anywhere, with any bit the other way round, or something else altogether."""
    yield from (content[:size] for size in range(len(content)))
    for place in range(len(content)):
        for bit in range(8):
            yield content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
    yield from (b"\x00" * len(content), b"\xff\xfe", b"[]", b"{}", b"null", b"1", b'"a"', b"[" * 100_000, b"{}\n{}")
    yield b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize("name", ["study.yaml", "parts/a.json", "parts/b.begun"])
def test_damage_is_named_in_one_line_or_changes_nothing(name: str, shelf: Shelf) -> None:
    path = shelf.out / name
    whole = path.read_bytes()
    refused = []
    for content in damaged(whole):
        path.write_bytes(content)
        try:
            parts.check(shelf.out, ASKED, resume=True)
            assert shelf.records(PARTS) == {"a": Record({"square": 9, "names": ["é", "x"]}, 3.25)}
            assert shelf.begun(PARTS) == {"b": STATE}
        except UserError as error:
            refused.append(str(error))
    assert len(refused) >= 8 * len(whole)
    for said in refused:
        assert str(shelf.out) in said
        assert ";" in said
        assert "\n" not in said


def test_a_file_of_another_part_is_not_taken_for_its_own(shelf: Shelf) -> None:
    """Of the same arguments, and of others."""
    folder = shelf.out / "parts"
    for name in ("b", "c"):
        shutil.copy(folder / "a.json", folder / f"{name}.json")
    shutil.copy(folder / "b.begun", folder / "c.begun")
    assert shelf.records(PARTS).keys() == {"a"}
    assert shelf.begun(PARTS).keys() == {"b"}


def test_a_part_of_the_first_studies_is_still_done(shelf: Shelf) -> None:
    """Which did not write its name, a checksum of the state alone, and none of an outcome."""
    done, begun = shelf.out / "parts" / "a.json", shelf.out / "parts" / "b.begun"
    done.write_text(json.dumps({"arguments": {"steps": 3}, "outcome": {"square": 9}, "seconds": 3.25}))
    assert shelf.records(PARTS) == {"a": Record({"square": 9}, 3.25)}
    head = {"arguments": {"steps": 3}, "reached": "step 1 of 3", "seconds": 2.5}
    head["sha256"] = hashlib.sha256(STATE.saved.state).hexdigest()
    begun.write_bytes(json.dumps(head).encode() + b"\n" + STATE.saved.state)
    assert shelf.begun(PARTS) == {"b": STATE}
    begun.write_bytes(begun.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"b\.begun is damaged; remove it, and its part is done again$"):
        shelf.begun(PARTS)


def test_the_command_tells_damage_before_it_starts_anything(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    study = ["study", "squares", "--out", str(out)]
    assert ends_before(25, lambda: go_on(out), out)
    begun, done = out / "parts" / "a.begun", out / "parts" / "c.json"
    assert begun.exists()
    assert done.exists()
    monkeypatch.setattr(tasks, "do", lambda *args, **options: pytest.fail("it was started"))
    for path in (begun, done, out / "study.yaml"):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        capfd.readouterr()
        assert main([*study, "--resume"]) == 2
        said = capfd.readouterr().err
        assert said.startswith("genray: ")
        assert said.count("\n") == 1
        assert path.name in said
        path.write_bytes(whole)
    monkeypatch.setattr(tasks, "do", in_this_process)
    assert main([*study, "--resume"]) == 0
