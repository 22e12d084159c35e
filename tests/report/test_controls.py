"""Controls in every form of a comparison: beside the models, never among them."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from genray.errors import UserError
from genray.report import compare, tables
from tests.report.fabricate import CONTROLS, write_controls, write_run, write_sweep
from tests.report.test_page import Page


@pytest.fixture
def controls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    rows = write_controls(tmp_path)
    monkeypatch.setattr("genray.controls.rows.control_rows", lambda *_: rows)
    return rows


def test_rows_verdicts_and_pictures_are_those_without_controls(
    tmp_path: Path, sweep: Path, controls: list[dict[str, Any]]
) -> None:
    """The memorizer has the best score of all, and is nowhere the best."""
    without = compare([sweep], tmp_path / "without")
    beside = compare([sweep], tmp_path / "with", controls=True)
    assert without["controls"] == []
    assert beside["controls"] == controls
    changed = {key for key in beside if beside[key] != without[key]}
    assert changed == {"controls", "notes"}
    pages = [(tmp_path / name / "index.html").read_text() for name in ("without", "with")]
    verdicts = [re.findall(r'<dl class="verdicts">.*?</dl>', page, re.DOTALL) for page in pages]
    figures = [re.findall(r'<script type="application/json".*?</script>', page, re.DOTALL) for page in pages]
    assert verdicts[0] == verdicts[1] != []
    assert figures[0] == figures[1]
    assert "memorizer" not in pages[0]
    assert json.loads((tmp_path / "with" / "comparison.json").read_text()) == beside


def test_every_form_shows_them(tmp_path: Path, sweep: Path, controls: list[dict[str, Any]]) -> None:
    beside = compare([sweep], tmp_path, controls=True)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "comparison.csv").read_text())))
    found = {line["label"]: float(line["mean"]) for line in lines if line["label"].startswith("control")}
    assert found == pytest.approx({f"control: {name}": value for name, value in CONTROLS.items()})
    [pca] = [
        line for line in (tmp_path / "comparison.md").read_text().splitlines() if line.startswith("| control: pca")
    ]
    assert pca.startswith("| control: pca | 6.40 ± 0.16 |")
    assert pca.endswith("| 1,234 | 0.5 s | 3 |")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(tables.terminal(beside))
    shown = console.export_text()
    assert "digits, test split, controls" in shown
    assert all(name.replace("_", " ") in shown for name in CONTROLS)
    page = (tmp_path / "index.html").read_text()
    body = re.search(r'<table class="scores sortable">.*?</table>', page, re.DOTALL)
    assert body is not None
    cells = re.findall(r'<tr class="control">\s*<th[^>]*>([^<]*?) <small>.*?<td>([^<]*?) ', body[0], re.DOTALL)
    assert [(name.replace(" ", "_"), float(mean)) for name, mean in cells] == list(CONTROLS.items())
    assert all(row not in body[0].split("<tbody>")[1].split("</tbody>")[0] for row in CONTROLS)


def test_their_samples_hang_at_the_end_of_the_wall_and_have_no_frames(
    tmp_path: Path, sweep: Path, controls: list[dict[str, Any]]
) -> None:
    compare([sweep], tmp_path / "out", controls=True)
    page = Page((tmp_path / "out" / "index.html").read_text())
    last = [image for image in page.images if str(image["alt"]).startswith(("Real images", "Samples of "))][1 + 4 :]
    assert [image["alt"] for image in last] == [f"Samples of the control {name.replace('_', ' ')}" for name in CONTROLS]
    assert all("data-epoch" not in image for image in last)
    assert not any("control" in str(frame["alt"]) for frame in page.frames)
    shown = [Image.open(io.BytesIO(base64.b64decode(str(image["src"]).partition(",")[2]))) for image in last]
    assert [picture.getpixel((170, 170)) for picture in shown] == [round(value) for value in CONTROLS.values()]


def test_the_wall_stands_without_a_picture_of_a_run(tmp_path: Path, controls: list[dict[str, Any]]) -> None:
    run = write_run(tmp_path / "run", "gan")
    for name in ("samples.png", "real.png"):
        (run / name).unlink()
    Path(controls[0]["samples"]).unlink()
    compare([run], tmp_path / "out", controls=True)
    page = Page((tmp_path / "out" / "index.html").read_text())
    assert [image["alt"] for image in page.images] == [
        f"Samples of the control {name}" for name in ("gaussian mixture", "pca", "untrained")
    ]


def test_what_the_controls_say_stands_among_the_notes(
    tmp_path: Path, sweep: Path, controls: list[dict[str, Any]]
) -> None:
    """The sweep's models lie near 6.2, 6.6, 11 and 14: all are behind the mixture's 3."""
    notes = compare([sweep], tmp_path, controls=True)["notes"]
    assert "gan, vae_gan, aae, vae: Fréchet distance is no better than that of what gaussian_mixture does" in notes[0]
    controls[0]["metrics"]["frechet"], controls[3]["metrics"]["frechet"] = (
        controls[i]["metrics"]["frechet"] for i in (3, 0)
    )
    notes = compare([sweep], tmp_path, controls=True)["notes"]
    assert any(note.startswith("frechet places untrained above memorizer") for note in notes)


def test_where_there_can_be_none_a_note_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of a made-up sweep are not those that are here."""
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path / "cache"))
    sweep = write_sweep(tmp_path / "sweep", models=("vae",), seeds=2)
    result = compare([sweep], tmp_path / "out", controls=None)
    assert result["controls"] == []
    [note] = [note for note in result["notes"] if "control" in note]
    assert "the runs were scored on 0123456789abcdef" in note
    with pytest.raises(UserError, match="the runs were scored on 0123456789abcdef"):
        compare([sweep], tmp_path / "out", controls=True)


def test_a_sweep_can_do_without(tmp_path: Path, controls: list[dict[str, Any]]) -> None:
    sweep = write_sweep(tmp_path / "sweep", models=("vae",), seeds=2, controls=False)
    assert compare([sweep], tmp_path / "out", controls=None)["controls"] == []
    assert compare([sweep], tmp_path / "out", controls=True)["controls"] == controls
