"""What a study leaves: a page that needs no network, JSON, Markdown and PNGs, all of the same numbers."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from genray import console
from genray.overrides import parse_overrides
from genray.report import drawing, study
from genray.report.answer import tally
from tests.report.test_browser import browser, contrast, luminance, show  # noqa: F401  browser is a fixture
from tests.studies.fakes import Squares

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


def made_on(device: str, commit: str, torch: str) -> dict[str, str]:
    return {"device": device, "commit": commit, "python": "3.11.7", "torch": torch}


MADE = 9 * [made_on("NVIDIA H200", 40 * "a", "2.11.0")] + 3 * [made_on("4 cores, x < y", f"{40 * 'b'}-dirty", "2.15.0")]
ON_GPU = "9 parts on NVIDIA H200, at commit aaaaaaa, with python 3.11.7, torch 2.11.0"
ON_CPU = "3 parts on 4 cores, x &lt; y, at commit bbbbbbb-dirty, with python 3.11.7, torch 2.15.0"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a claim that holds, one that does not, one that is not decided, a table and a figure."""
    out = tmp_path_factory.mktemp("study")
    squares = Squares()
    answer = squares.answer({f"of-{n}": {"square": n * n} for n in range(12)}, "quick")
    study.write("all_squares", squares.QUESTION, answer, "quick", study.Cost(12, 75.0, MADE), out)
    return out


@pytest.fixture
def result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "study.json").read_text())
    return found


def test_the_figure_is_there_as_it_was_drawn(out: Path, result: dict[str, Any]) -> None:
    [figure] = result["figures"]
    with Image.open(out / figure["file"]) as picture:
        assert picture.size == (6 * study.DOTS_PER_INCH, 3 * study.DOTS_PER_INCH)
        assert picture.convert("L").getextrema() == (0, 255)


def test_markdown_has_every_claim_row_and_figure(out: Path, result: dict[str, Any]) -> None:
    lines = (out / "study.md").read_text().splitlines()
    assert lines[0] == "# All squares"
    assert "Do squares grow &lt;faster> than their roots?" in lines
    assert "| 4 is above 2 | 4.0 ± 0.1 | holds |" in lines
    assert "| a \\| b &lt; c | 1 at 0.5 | does not hold |" in lines
    assert "| 2 is a root of 5 | 2.1 ± 0.4 | not decided |" in lines
    rows = [line for line in lines if line.startswith("| of-")]
    assert rows == [f"| {name} | {square} |" for name, square in result["tables"][0]["rows"]]
    assert "![Squares by root](figures/squares.png)" in lines
    at = lines.index("## How it was measured")
    assert lines[at + 2 :] == [
        "- `genray study all_squares --budget quick`",
        "- 12 parts, 1 min 15 s together",
        f"- {ON_GPU}",
        f"- {ON_CPU.replace('_', chr(92) + '_')}",
    ]
    assert {made["device"]: made["parts"] for made in result["made_with"]} == {"NVIDIA H200": 9, "4 cores, x < y": 3}


def test_the_page_says_where_parts_were_made(out: Path) -> None:
    page = (out / "index.html").read_text()
    assert f"<dd>{ON_GPU}</dd>" in page
    assert f"<dd>{ON_CPU}</dd>" in page


def test_the_page_counts_what_holds_and_what_is_not_decided(out: Path) -> None:
    page = (out / "index.html").read_text()
    assert "<li>1 of 3 claims hold, 1 not decided</li>" in page
    shown = re.findall(r'<li class="(.+?)"><span class="verdict">(.+?)</span><span>(.+?)<br>', page)
    assert shown == [
        ("holds", "holds", "4 is above 2"),
        ("does-not-hold", "does not hold", "a | b &lt; c"),
        ("not-decided", "not decided", "2 is a root of 5"),
    ]
    assert tally(["not decided"] * 8) == "0 of 8 claims hold, 8 not decided"
    assert tally(["holds"]) == "1 of 1 claim holds"


def test_terminal_shows_what_does_not_hold(
    out: Path, result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    console.show_study(result, out)
    said = capsys.readouterr().out
    assert said.startswith("They do, from 2 on.\n")
    assert "does not hold: a | b < c\n  1 at 0.5\n" in said
    assert "not decided: 2 is a root of 5\n" in said
    assert "of-11  121\n" in said
    assert said.endswith(f"page  {out / 'index.html'}\n")


def test_what_was_not_reached_is_said_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    squares = Squares()
    answer = squares.answer({"of-1": {"square": 1}}, "quick")
    left = {"of-2": "epoch 3 of 9", "of-3": study.NOT_BEGUN, "of-4": study.NOT_BEGUN}
    found = study.write("all_squares", squares.QUESTION, answer, "quick", study.Cost(4, 75.0), tmp_path, left=left)
    assert found["not_reached"] == left
    said = "Not finished: 1 of 4 parts done; of-2 is at epoch 3 of 9; not begun: of-3, of-4. The same command with "
    console.show_study(found, tmp_path)
    assert capsys.readouterr().out.startswith(said)
    assert f"- {said}" in (tmp_path / "study.md").read_text()
    assert said in (tmp_path / "index.html").read_text()


def test_a_finished_study_says_nothing_of_that(out: Path, result: dict[str, Any]) -> None:
    assert result["not_reached"] == {}
    assert "Not finished" not in (out / "study.md").read_text() + (out / "index.html").read_text()


def test_names_keep_their_colour_and_dash_apart() -> None:
    looks = drawing.looks([f"name {i}" for i in range(20)])
    assert len({(look["color"], look["linestyle"]) for look in looks.values()}) == 20


@pytest.mark.browser
def test_page_shows_it_all_and_fetches_nothing(out: Path, result: dict[str, Any], browser: Chrome) -> None:  # noqa: F811  a fixture
    browser.get_log("browser"), browser.get_log("performance")
    show(browser, out, width=1400)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert {url for url in urls if not url.startswith("data:")} == {(out / "index.html").as_uri()}
    text = browser.find_element("tag name", "body").text
    assert result["question"] in text
    assert "1 of 3 claims hold, 1 not decided" in text
    cells = "return [...document.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
    assert browser.execute_script(cells) == result["tables"][0]["rows"]
    sizes = "const i = document.querySelector('.drawing img'); return [i.naturalWidth, i.width]"
    natural, shown = browser.execute_script(sizes)
    assert natural == 6 * study.DOTS_PER_INCH
    assert shown > 500


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_and_is_readable(out: Path, browser: Chrome, width: int, dark: bool) -> None:  # noqa: F811  a fixture
    show(browser, out, width=width, dark=dark)
    widths = browser.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert widths[0] == widths[1]
    verdicts = """return [...document.querySelectorAll('.verdict')].map(v => [getComputedStyle(v).backgroundColor,
        getComputedStyle(v).color, getComputedStyle(v, '::before').content])"""
    found = browser.execute_script(verdicts)
    assert [len(set(looks)) for looks in zip(*found, strict=True)] == [3, 3, 3]  # by colour and by mark
    for back, front, mark in found:
        assert contrast(back, front) > 4.5
        assert mark != "none"
    back = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert (luminance(back) < 0.1) is dark


def test_the_command_names_what_was_changed(tmp_path: Path) -> None:
    squares = Squares()
    answer = squares.answer({"of-2": {"square": 4}}, "quick")
    changes = {"epochs": 3, "models": ["vae", "gan"]}
    found = study.write("squares", "?", answer, "full", study.Cost(1, 1.0), tmp_path, overrides=changes)
    assert json.loads((tmp_path / "study.json").read_text())["overrides"] == changes
    command = 'genray study squares --budget full --set epochs=3 --set \'models=["vae", "gan"]\''
    assert study._command(found) == command
    words = shlex.split(command)
    assert parse_overrides([word for flag, word in itertools.pairwise(words) if flag == "--set"]) == changes
