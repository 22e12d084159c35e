"""Whatever a command is told, and whatever lies in a folder of images: it ends with 0, or 2, one line and no trace.

Each stops where training, or Ray, would begin. A command takes longer than a function: a `SHARE`-th of the inputs that
`tests/test_fuzz.py` makes of each kind.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from genray.cli import main
from genray.data.datasets import load
from genray.errors import UserError

pytestmark = pytest.mark.timeout(3_600, method="thread")  # which ends a test that waits in another thread too
SHARE = 4
LIMIT_S = 60.0  # of one command, on cores that have other work

fewer = settings(
    max_examples=settings.default.max_examples // SHARE, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Begins(BaseException):
    """All was taken: what comes next would train, or start Ray."""


@pytest.fixture
def _stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(*_: object, **__: object) -> NoReturn:
        raise Begins

    def refuse(*_: object) -> NoReturn:
        raise UserError("cannot download the dataset; put it there")

    digits = load("digits")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("genray.data.datasets._digits", lambda: digits)  # once, not for each command
    monkeypatch.setattr("genray.data.downloads._download", refuse)
    for name in ("genray.single.create_run", "genray.cluster.environment.prepare", "genray.cluster.doctor.doctor"):
        monkeypatch.setattr(name, begin)


@contextlib.contextmanager
def elsewhere(tmp_path: Path) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder, contextlib.chdir(folder):
        yield


def tree() -> dict[str, tuple[int, bytes | str | None]]:
    """Every path below the working folder: its kind, and what a file holds or a link says."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for place, folders, names in os.walk("."):
        for path in (os.path.join(place, name) for name in [*folders, *names]):
            mode = os.lstat(path).st_mode
            content = (
                Path(path).read_bytes() if stat.S_ISREG(mode) else os.readlink(path) if stat.S_ISLNK(mode) else None
            )
            found[path] = (mode, content)
    return found


def assert_ends_well(arguments: list[str]) -> None:
    before, begun, out, err = tree(), time.monotonic(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except Begins:
            code = 0
    said = err.getvalue()
    assert time.monotonic() - begun < LIMIT_S
    assert code in {0, 2}, said
    if code == 2:
        *told, line = said.split("\n")[:-1]  # what is being done, and what is wrong
        assert line.startswith("genray: "), said
        assert not any("genray: " in other or "Traceback" in other for other in told), said
        assert tree() == before


COMMANDS = [
    *("train", "sweep", "estimate", "watch", "doctor", "evaluate", "compare", "sample", "export", "study"),
    *("models", "datasets", "studies", "trian", "cluster submit", "cluster attach", "cluster jobs", "cluster"),
]
OPTIONS = [
    *(
        "--set",
        "--out",
        "--config",
        "--dataset",
        "--num",
        "--seed",
        "--trials",
        "--resume",
        "--best",
        "--label",
        "--complete",
    ),
    *(
        "--sampled-from",
        "--extractor",
        "--budget",
        "--minutes",
        "--json",
        "--no-controls",
        "--mixed",
        "--help",
        "--storage",
    ),
    *("--gpu-hour-price", "--name", "--detach", "--down", "--max-gpu-hours", "--version", "--", "-x"),
]
VALUES = [
    *("vae", "gan", "progan", "digits", "mnist", "folder:missing", "folder:", "folder:empty", "folder:space.yaml"),
    *("space.yaml", "bad.yaml", "cluster.yaml", "missing", "empty", "quickstart", "hidden_size", ".", "", " ", "\n"),
    *("0", "-1", "1", "1e9", "nan", "inf", "99999999999999999999", "quick", "full", "prior", "gmm", "shared", "ftp://x"),
    *("/dev/null", "/dev/null/x", "/proc/x", "../x", "a" * 300, "x.png", "x.onnx", "[", "{", "a=b", "=", "é", "\udcff"),
    *("experiment.epochs=1", "experiment.seed=4294967295", "trials=1", "trials=-1", "models=[vae]", "metrics=[]"),
    *("sampled_from=gmm", "\x1b[31m"),
    *(
        f"{key}={value}"
        for key in ("seed", "epochs", "model.hidden", "model.latent", "image_size", "workers", "num_samples")
        for value in ("16", "0", "-1", "4294967296", "1e30", ".nan", "[1]", "1000000000000000000000")
    ),
]  # fmt: skip


@given(
    st.sampled_from(COMMANDS),
    st.lists(st.sampled_from(VALUES) | st.sampled_from(OPTIONS) | st.text(max_size=8), max_size=5),
)
@example("train", ["vae", "--set", "epochs=1"])
@example("train", ["vae", "--config", "a" * 300])
@example("evaluate", ["a" * 300])
@example("compare", ["a" * 300])
@example("sweep", ["space.yaml", "--set", "experiment.epochs=1"])
@example("sweep", ["bad.yaml"])
@fewer
@pytest.mark.usefixtures("_stops")
def test_commands(tmp_path: Path, command: str, words: list[str]) -> None:
    space = {"name": "small", "experiment": {"epochs": 2}, "models": ["vae"], "trials": 2}
    with elsewhere(tmp_path):
        Path("space.yaml").write_text(yaml.safe_dump(space))
        Path("bad.yaml").write_text("a: &a [*a]\n")
        Path("cluster.yaml").write_text("cluster_name: 3\n")
        Path("empty").mkdir()
        assert_ends_well([*command.split(), *(word.replace("\0", "0") for word in words)])


def picture(mode: str, kind: str) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (9, 12, 4), np.uint8)
    image = Image.fromarray(values).convert("RGB").convert(mode) if mode != "I;16" else Image.new(mode, (5, 4), 999)
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


GOOD = picture("RGB", "PNG")
CONTENTS = [
    *(picture(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    picture("CMYK", "JPEG"), picture("F", "TIFF"), picture("P", "GIF"), GOOD[:-20], GOOD[:40], b"", b"none",
]  # fmt: skip
MAKERS: list[Callable[[Path], object]] = [
    os.mkfifo,
    lambda path: path.mkdir(),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to("."),
    lambda path: path.symlink_to("/dev/zero"),
    *(lambda path, content=content: path.write_bytes(content) for content in CONTENTS),
]
PLACES = [
    "",
    "cat",
    "dog",
    "train",
    "test",
    "val",
    "train/cat",
    "test/dog",
    "cat/deep",
    ".hidden",
    os.fsdecode(b"c\xff"),
]
NAMES = ["x.png", "x.PNG", "x.jpg", "x.gif", "x.txt", ".x.png", "a\nb.png", os.fsdecode(b"\xff.png"), "é.tif"]


@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from([0, 1, 10, 80])), max_size=4),
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(NAMES), st.sampled_from(MAKERS)), max_size=3),
)
@example([("", 80)], [("", "x.png", os.mkfifo)])
@example([("", 80)], [("", NAMES[7], MAKERS[-10])])
@example([("cat", 80), (PLACES[-1], 80)], [])
@example([("cat", 80), ("dog", 1)], [])
@fewer
@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
@pytest.mark.usefixtures("_stops")
def test_folders_of_images(tmp_path: Path, many: list[tuple[str, int]], odd: list[tuple[str, str, Callable]]) -> None:
    with elsewhere(tmp_path):
        Path("images").mkdir()
        for place, count in many:
            Path("images", place).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                Path("images", place, f"{i}.png").write_bytes(GOOD)
        for place, name, make in odd:
            Path("images", place).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(Path("images", place, name)):
                make(Path("images", place, name))
        choices = ["image_size=8", "batch_size=8", "model.hidden=8", "metrics=[frechet]"]
        options = [word for choice in choices for word in ("--set", choice)]
        assert_ends_well(["train", "vae", "--dataset", "folder:images", *options, "--out", "out"])
