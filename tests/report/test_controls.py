"""Controls in every form of a comparison: beside the models, never among them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from genray.errors import UserError
from genray.report import compare, tables
from genray.report.intervals import summarize
from tests.report.fabricate import write_sweep

SCORES = {"memorizer": 1.1, "gaussian_mixture": 3.0, "pca": 6.4, "untrained": 40.0}


def control(name: str, frechet: float) -> dict[str, Any]:
    return {
        "label": f"control: {name}",
        "control": name,
        "about": f"what {name} does",
        "seeds": [0, 1, 2],
        "num_parameters": 1_234,
        "train_seconds": 0.5,
        "metrics": {"frechet": summarize([0.99 * frechet, frechet, 1.01 * frechet])},
        "failed": {},
    }


@pytest.fixture
def controls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """In place of those that are computed."""
    rows = [control(name, value) for name, value in SCORES.items()]
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
    assert found == pytest.approx({f"control: {name}": value for name, value in SCORES.items()})
    [pca] = [
        line for line in (tmp_path / "comparison.md").read_text().splitlines() if line.startswith("| control: pca")
    ]
    assert pca.startswith("| control: pca | 6.40 ± 0.16 |")
    assert pca.endswith("| 1,234 | 0.5 s | 3 |")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(tables.terminal(beside))
    shown = console.export_text()
    assert "digits, test split, controls" in shown
    assert all(name.replace("_", " ") in shown for name in SCORES)
    page = (tmp_path / "index.html").read_text()
    body = re.search(r'<table class="scores sortable">.*?</table>', page, re.DOTALL)
    assert body is not None
    cells = re.findall(r'<tr class="control">\s*<th[^>]*>([^<]*?) <small>.*?<td>([^<]*?) ', body[0], re.DOTALL)
    assert [(name.replace(" ", "_"), float(mean)) for name, mean in cells] == list(SCORES.items())
    assert all(row not in body[0].split("<tbody>")[1].split("</tbody>")[0] for row in SCORES)


def test_what_the_controls_say_stands_among_the_notes(
    tmp_path: Path, sweep: Path, controls: list[dict[str, Any]]
) -> None:
    """The sweep's models lie near 6.2, 6.6, 11 and 14: all are behind the mixture's 3."""
    notes = compare([sweep], tmp_path, controls=True)["notes"]
    assert "gan, vae_gan, aae, vae: frechet is no better than that of what gaussian_mixture does" in notes[0]
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
