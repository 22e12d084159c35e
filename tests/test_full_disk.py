"""A disk that is full or becomes read-only in the middle of a command: one line, exit code 2, what was there intact."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from genray.cli import main
from genray.runs import Row, open_run
from tests.faults import before_changes, in_a_child

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # a process a cut: ten minutes beside other work
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # it forks on purpose
]
TRAIN = ["train", "vae", "--set", "epochs=2", "--set", "evaluate_every=1", "--set", "checkpoint_every=1"]
TRAIN += ["--set", "model.hidden=16", "--set", "metrics=[class_entropy]", "--out"]
FIXES = {errno.ENOSPC: "free some room", errno.EROFS: "mount that disk for writing"}
REMOVALS = {"os.remove", "os.rmdir", "os.rename", "os.chmod"}
STEP = 5  # of the calls that fail from then on, each fifth is tried


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained and evaluated on a disk with room."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*TRAIN, str(folder)]) == 0
    assert main(["evaluate", str(folder)]) == 0
    return folder


def seen(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(run: Path) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "train_seconds"} for row in open_run(run).history]


def said(arguments: Sequence[str], breaks: Callable[[], object]) -> tuple[int, str]:
    """Exit code and standard error of a command on a disk that breaks."""
    reads, writes = os.pipe()

    def command() -> int:
        sys.stderr = os.fdopen(writes, "w", buffering=1)
        breaks()
        return main(arguments)

    ended = in_a_child(command)
    os.close(writes)
    with os.fdopen(reads) as error:
        return ended, error.read()


def one_line(ended: int, error: str, code: int) -> None:
    assert ended == 2, error
    assert error.startswith("genray: ")
    assert error.count("\n") == 1, error
    assert os.strerror(code) in error
    assert {**FIXES, errno.EFBIG: "raise the limit"}[code] in error or "give another f" in error


def outages(arguments: Sequence[str], disk: Path, code: int, *, at_least: int) -> Iterator[int]:
    """A command on a disk that breaks at its first change, at its sixth, and so on, until the command comes to its end.
    All later changes fail too, but that files can be removed from a full disk."""
    for count in itertools.count():

        def fail(number: int, event: str, first: int = count * STEP) -> None:
            if number >= first and (code == errno.EROFS or event not in REMOVALS):
                raise OSError(code, os.strerror(code))

        ended, error = said(arguments, lambda: before_changes(disk, fail))
        if ended == 0:
            assert count >= at_least
            return
        one_line(ended, error, code)
        if code == errno.ENOSPC:
            assert not list(disk.rglob("*.half"))
        yield count


@pytest.mark.parametrize("code", [errno.ENOSPC, pytest.param(errno.EROFS, marks=pytest.mark.nightly)])
def test_training(code: int, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for _ in outages([*TRAIN, str(run)], run, code, at_least=10):
        resume = ["--resume"] if (run / "experiment.yaml").exists() else []
        assert main([*TRAIN, str(run), *resume]) == 0
        assert rows(run) == rows(whole)
        shutil.rmtree(run)


@pytest.mark.parametrize("code", FIXES)
def test_evaluation(code: int, whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    before = open_run(run).result
    for _ in outages(["evaluate", str(run)], run, code, at_least=5):
        assert open_run(run).result == before


@pytest.mark.parametrize("code", FIXES)
def test_comparison(code: int, whole: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    compare = ["compare", str(whole), "--no-controls", "--out", str(page)]
    assert main(compare) == 0
    before = seen(page)
    assert set(before) > {"comparison.json", "comparison.csv", "comparison.md", "index.html"}
    for _ in outages(compare, page, code, at_least=4):
        now = seen(page)
        for name in ("comparison.json", "comparison.csv", "comparison.md", "index.html"):
            assert now[name] == before[name]
        assert any("tfevents" in name and not name.startswith(".") for name in now)


@pytest.mark.parametrize("code", FIXES)
@pytest.mark.parametrize(
    "command", ["export RUN --out OUT.safetensors", "export RUN --out OUT.onnx", "sample RUN --out OUT.png"]
)
def test_one_file(command: str, code: int, whole: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    words = [word.replace("RUN", str(whole)).replace("OUT", str(disk / "out")) for word in command.split()]
    out = Path(words[-1])
    for content in (None, b"what was there"):
        if content is not None:
            out.write_bytes(content)
        for _ in outages(words, disk, code, at_least=1):
            assert (out.read_bytes() if out.exists() else None) == content


@pytest.mark.parametrize("most", [0, 700, 3_000, 12_000, 40_000, 100_000])
def test_training_where_files_cannot_grow(most: int, whole: Path, tmp_path: Path) -> None:
    """By the system itself, in the middle of a write: of metrics.jsonl, of events, of pictures, of a checkpoint."""
    run = tmp_path / "run"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    ended, error = said([*TRAIN, str(run)], limit)
    one_line(ended, error, errno.EFBIG)
    assert not list(run.rglob("*.half"))
    resume = ["--resume"] if (run / "experiment.yaml").exists() else []
    assert main([*TRAIN, str(run), *resume]) == 0
    assert rows(run) == rows(whole)
