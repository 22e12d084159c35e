"""A study's answer as index.html, study.json, study.md and figures/*.png."""

from __future__ import annotations

import io
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genray import files
from genray.report import words
from genray.report.answer import tally
from genray.report.pictures import data_uri
from genray.report.tables import markdown_line, plain
from genray.report.templates import environment, inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from genray.report.answer import Answer

DOTS_PER_INCH = 160  # sharp on a screen of two pixels a point
PICTURE_BYTES = 1_000_000  # of one figure in the page; the PNGs in figures/ are as they were drawn
NOT_BEGUN = "not begun"


class Cost(NamedTuple):
    parts: int
    seconds: float  # of all parts together, on one CPU each
    made_with: Sequence[Mapping[str, str]] = ()  # of each part that is done: device, commit and versions


def write(
    name: str,
    question: str,
    answer: Answer,
    budget: str,
    cost: Cost,
    out: Path,
    *,
    left: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the answer to `out` and returns what study.json holds. `left` says of each part that is not done how far
    it is."""
    for figure in answer.figures:
        files.write_bytes(out / "figures" / f"{figure.name}.png", png(figure.drawing))
    result = _result(name, question, answer, budget, cost)
    result |= {"not_reached": dict(left or {}), "overrides": dict(overrides or {})}
    files.write_json(out / "study.json", result)
    files.write_text(out / "study.md", markdown(result))
    files.write_text(out / "index.html", _page(result, out))
    return result


def png(drawing: Drawing) -> bytes:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _result(name: str, question: str, answer: Answer, budget: str, cost: Cost) -> dict[str, Any]:
    return {
        "study": name,
        "question": question,
        "budget": budget,
        "summary": list(answer.summary),
        "checks": [check._asdict() for check in answer.checks],
        "tables": [
            {"title": t.title, "columns": list(t.columns), "rows": [list(row) for row in t.rows], "note": t.note}
            for t in answer.tables
        ],
        "figures": [
            {"name": f.name, "title": f.title, "caption": f.caption, "file": f"figures/{f.name}.png"}
            for f in answer.figures
        ],
        "data": answer.data,
        "cost": {"parts": cost.parts, "seconds": cost.seconds},
        "made_with": _counted(cost.made_with),
    }


def _counted(made_with: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Each that is another one, with how many parts were made with it."""
    found = Counter(json.dumps(dict(made)) for made in made_with)
    return [{"parts": count, **json.loads(made)} for made, count in found.items()]


def _page(result: Mapping[str, Any], out: Path) -> str:
    template = environment().get_template("study.html")
    return template.render(
        study=result,
        heading=heading(result["study"]),
        not_reached=not_reached(result),
        pictures={figure["name"]: data_uri(out / figure["file"], PICTURE_BYTES) for figure in result["figures"]},
        tally=tally([check["verdict"] for check in result["checks"]]),
        time=words.duration(result["cost"]["seconds"]),
        counted=words.counted,
        command=f"{_command(result)} --out {shlex.quote(str(out))}",
        made_with=[_made(made) for made in result["made_with"]],
        is_number=_is_number,
        css=inline("page.css") + inline("study.css"),
        dark=inline("page/dark.css"),
    )


def not_reached(result: Mapping[str, Any]) -> str:
    """What an answer lacks that was given before all parts were done: `Not finished: 3 of 9 parts are done …`. Empty
    where it lacks nothing."""
    left, count = result["not_reached"], result["cost"]["parts"]
    if not left:
        return ""
    said = [f"Not finished: {count - len(left)} of {words.counted(count, 'part')} done"]
    said += [f"{part} is at {reached}" for part, reached in left.items() if reached != NOT_BEGUN]
    if waiting := [part for part, reached in left.items() if reached == NOT_BEGUN]:
        said.append(f"not begun: {', '.join(waiting)}")
    return f"{'; '.join(said)}. The same command with --resume goes on."


def heading(name: str) -> str:
    """`optimal_discriminator` → `Optimal discriminator`"""
    return name.replace("_", " ").capitalize()


def _command(result: Mapping[str, Any]) -> str:
    changes = [f" --set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in result["overrides"].items()]
    return f"genray study {result['study']} --budget {result['budget']}{''.join(changes)}"


def _made(made: Mapping[str, Any]) -> str:
    """`20 parts on 2 cores, AMD EPYC, at commit 9316c3d, with python 3.11.7, torch 2.15.0`"""
    versions = ", ".join(f"{name} {value}" for name, value in made.items() if name not in ("parts", "device", "commit"))
    short = made["commit"][:7] + ("-dirty" if made["commit"].endswith("-dirty") else "")
    return f"{words.counted(made['parts'], 'part')} on {made['device']}, at commit {short}, with {versions}"


def measured(result: Mapping[str, Any]) -> list[str]:
    """How, in Markdown's lines."""
    cost = result["cost"]
    time = f"{words.counted(cost['parts'], 'part')}, {words.duration(cost['seconds'])} together"
    made = [plain(_made(made)) for made in result["made_with"]]
    return ["## How it was measured", "", *(f"- {line}" for line in (f"`{_command(result)}`", time, *made))]


def _is_number(cell: str) -> bool:
    """Whether a table shows it flush right: `8`, `0.213 ± 0.004`, `12 of 25`, `-`."""
    return not any(letter.isalpha() for letter in cell.replace(" of ", "").replace("e-", "").replace("e+", ""))


def markdown(result: Mapping[str, Any]) -> str:
    """The answer in words, what was claimed and found, every table and figure."""
    lines = [f"# {plain(heading(result['study']))}", "", plain(result["question"]), ""]
    lines += [f"- {plain(sentence)}" for sentence in [not_reached(result), *result["summary"]] if sentence]
    if result["checks"]:
        lines += ["", markdown_line(["claim", "found", "verdict"]), markdown_line(["---"] * 3)]
        for check in result["checks"]:
            lines.append(markdown_line([plain(check["claim"]), plain(check["found"]), check["verdict"]]))
    for table in result["tables"]:
        lines += ["", f"## {plain(table['title'])}", "", *_table(table["columns"], table["rows"])]
        lines += ["", plain(table["note"])] if table["note"] else []
    for figure in result["figures"]:
        lines += ["", f"## {plain(figure['title'])}", "", f"![{plain(figure['title'])}]({figure['file']})"]
        lines += ["", plain(figure["caption"])]
    return "\n".join([*lines, "", *measured(result)]) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    head = [markdown_line([plain(c) for c in columns]), markdown_line(["---"] * len(columns))]
    return head + [markdown_line([plain(cell) for cell in row]) for row in rows]
