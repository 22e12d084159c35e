"""genray compare as it is typed: where it writes, and which commands it prints to copy. Runs are made up."""

import json
import os
import re
import shlex
from html import unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from genray.cli import main
from tests.report.fabricate import write_run, write_sweep


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments, "--no-controls"]) == 0
    return capfd.readouterr().out


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_page_of_something_else_is_not_replaced(capfd: pytest.CaptureFixture[str]) -> None:
    write_run(Path("run"), "vae")
    Path("site").mkdir()
    Path("site/index.html").write_text("mine")
    assert "site holds an index.html that is no comparison's; give another" in refused(capfd, "run", "--out", "site")
    assert [path.name for path in Path("site").iterdir()] == ["index.html"]
    assert Path("site/index.html").read_text() == "mine"


def test_a_page_of_other_runs_is_replaced_and_that_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    for name, model in (("a", "vae"), ("b", "gan")):
        write_run(Path(name), model)
    for runs, told in [(["a"], ""), (["a"], ""), (["a", "b"], ""), (["b"], "a"), (["b"], "")]:
        said = re.findall(r"it replaced the page of (.*)\n", printed(capfd, *runs, "--out", "page"))
        assert said == ([str(Path(told).absolute())] if told else []), runs


@pytest.mark.parametrize(
    ("page", "runs", "logs"),
    [
        ("sweep/comparison", ["sweep"], "sweep"),
        ("one/comparison", ["one"], "one"),  # of one model, whose runs lie together below it
        ("../far/page", ["sweep"], "sweep"),
        ("runs/comparison", ["runs/a", "runs/b c"], "runs"),
        ("../far/page", ["../here/runs/a", "runs/b c"], "runs"),
        ("../far/page", ["runs/b c"], "runs/b c"),
        ("page", ["../here/../here/runs/a"], "runs/a"),
    ],
)
def test_curves_are_shown_of_the_folder_that_holds_the_runs(
    page: str, runs: list[str], logs: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a shell reads the command, and of no folder above, in which much else may lie."""
    write_sweep(Path("sweep"), models=("vae", "gan"), seeds=2)
    write_sweep(Path("one"), models=("vae",), seeds=2)
    for name, model in (("a", "vae"), ("b c", "gan")):
        write_run(Path("runs") / name, model)
    [command] = re.findall(r"^curves +(.*)$", printed(capfd, *runs, "--out", page), re.MULTILINE)
    assert shlex.split(command)[1:] == ["--logdir", logs]


def test_names_that_are_not_utf8(capfd: pytest.CaptureFixture[str]) -> None:
    """As arguments they are refused; a folder that has one all the same is compared, and links lead into it."""
    name = os.fsdecode(b"of \xff")
    write_run(Path(name, "run"), "vae")
    for arguments in (["a", "--out", name], [name]):
        assert r"arguments must be UTF-8 text, got 'of \udcff'; give another name" in refused(capfd, *arguments)
    os.chdir(name)
    printed(capfd, "run", "--out", "../page")
    os.chdir("..")
    page = Path("page/index.html").read_text(encoding="utf-8")
    links = [unquote_to_bytes(link) for link in re.findall(r'href="(\.\./[^"]*)"', page)]
    assert os.fsencode(f"../{name}/run") in links
    [run] = json.loads(Path("page/comparison.json").read_text())["rows"][0]["runs"]
    assert Path(run).samefile(Path(name, "run"))


@pytest.mark.parametrize("asked", ["--controls", "--no-controls", ""])
def test_the_command_of_the_page_asks_for_controls_as_it_was_asked(
    asked: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("genray.report.controls.beside", lambda comparison, of, required: comparison)
    write_run(Path("run"), "vae")
    assert main(["compare", "run", "--out", "page", *asked.split()]) == 0
    [command] = re.findall(r"genray compare run[^<\n]*", unescape(Path("page/index.html").read_text()))
    assert command.split() == ["genray", "compare", "run", *asked.split(), "--out", "page"]


def test_a_sweep_without_results_names_the_command_that_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    write_sweep(Path("my sweep"), models=("vae",), seeds=0)
    [command] = re.findall("`(genray [^`]*)`", refused(capfd, "my sweep"))
    folder = Path("my sweep").absolute()
    assert shlex.split(command) == [
        *("genray", "sweep", str(folder / "sweep.yaml")),
        *("--out", str(folder), "--resume"),
    ]
