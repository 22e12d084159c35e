"""The comparison as a table: Markdown, CSV, and for the terminal."""

from __future__ import annotations

import csv as csv_module
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from genray.report.comparison import better, metric_names, parts_of
from genray.report.words import ARROWS, answer, duration, estimate, title, unit, verdicts

FLOOR = "real images (floor)"
LEGEND = (
    "mean ± half of the 95 % Student-t interval over seeds; bold: best mean; ≈: its interval overlaps the best one's"
)

NONE = "–"  # where a row has no such score
FAILED = "failed"  # where it should have one; why stands among the notes


@dataclass(frozen=True)
class Cell:
    text: str
    best: bool = False
    tied: bool = False

    @property
    def mean(self) -> str:
        return self.text.partition(" ")[0]

    @property
    def spread(self) -> str:
        """`± 0.24`, or nothing where there is no value."""
        return self.text.partition(" ")[2]

    @property
    def marked(self) -> str:
        return f"{self.text} ≈" if self.tied else self.text


@dataclass(frozen=True)
class Grid:
    """The table that all forms show: a line a row of the comparison, one a control, and one for the floor."""

    heads: tuple[str, ...]
    labels: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


def metric_head(metric: str) -> str:
    """`Fréchet distance ↓`, `ELBO ↑ [nats]`"""
    parts = [title(metric), ARROWS.get(better(metric), ""), f"[{unit(metric)}]" if unit(metric) else ""]
    return " ".join(part for part in parts if part)


def grid(comparison: Mapping[str, Any]) -> Grid:
    names = metric_names(comparison)
    decided = {verdict.metric: verdict for verdict in verdicts(comparison)}
    lines = []
    for row in comparison["rows"]:
        cells = []
        for name in names:
            found, verdict = row["metrics"].get(name), decided.get(name)
            several = verdict is not None and verdict.contested
            cells.append(
                Cell(
                    estimate(found["mean"], found["ci95"]) if found else FAILED if name in row["failed"] else NONE,
                    best=several and verdict is not None and verdict.best == row["label"],
                    tied=several and verdict is not None and row["label"] in verdict.tied,
                )
            )
        lines.append(tuple(cells))
    for control in comparison["controls"]:
        lines.append(tuple(_control_cell(control, name) for name in names))
    floor = comparison["floor"]
    lines.append(tuple(Cell(estimate(f["mean"], f.get("ci95")) if (f := floor.get(n)) else NONE) for n in names))
    labels = tuple(row["label"] for row in (*comparison["rows"], *comparison["controls"]))
    return Grid(tuple(metric_head(name) for name in names), (*labels, FLOOR), tuple(lines))


def _control_cell(control: Mapping[str, Any], metric: str) -> Cell:
    found = control["metrics"].get(metric)
    return Cell(estimate(found["mean"], found["ci95"]) if found else FAILED if metric in control["failed"] else NONE)


def cost(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Parameters, seconds of training one run, and seeds, of a row."""
    return f"{row['num_parameters']:,}", duration(row["train_seconds"]), str(len(row["seeds"]))


COST_HEADS = ("parameters", "training", "seeds")


CSV_HEADS = ("label", "model", "sampled_from", "metric", "better", "unit", "mean", "std", "ci95", "n", "values")


def csv(comparison: Mapping[str, Any]) -> str:
    """A line for each row and metric, and for the floor, in full precision. `values` are separated by spaces. Where the
    comparison has parts, each line begins with its part's name."""
    file = io.StringIO()
    writer = csv_module.writer(file, lineterminator="\n")
    parts = parts_of(comparison)
    several = len(parts) > 1
    writer.writerow(["part", *CSV_HEADS] if several else CSV_HEADS)
    for name, part in parts.items():
        writer.writerows([name, *line] if several else line for line in _csv_lines(part))
    return file.getvalue()


def _csv_lines(comparison: Mapping[str, Any]) -> Iterator[list[Any]]:
    floor = {"label": "floor", "model": "", "sampled_from": "", "metrics": comparison["floor"]}
    controls = [{**row, "model": "", "sampled_from": ""} for row in comparison["controls"]]
    for row in [*comparison["rows"], *controls, floor]:
        for name in metric_names(comparison):
            if (found := row["metrics"].get(name)) is None:
                continue
            values = found.get("values") or []
            numbers = ["" if found.get(key) is None else repr(found[key]) for key in ("mean", "std", "ci95")]
            ids = [row["label"], row["model"], row["sampled_from"]]
            yield [*ids, name, better(name), unit(name), *numbers, len(values), " ".join(map(repr, values))]


@dataclass(frozen=True)
class Lines:
    """A summary over datasets as every form shows it: a line a row, each with its model's name."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    how: str


def summary_lines(summary: Mapping[str, Any]) -> Lines:
    names = summary["datasets"]
    heads = ("model", *[f"{name}: {what}" for name in names for what in ("rank", "distance")], "mean rank", "distance")
    lines = []
    for row in summary["rows"]:
        cells = [row["label"]]
        for name in names:
            place = row["datasets"].get(name)
            cells += [NONE, NONE] if place is None else [_rank(place), _distance(place["distance"])]
        cells += [NONE if row["mean_rank"] is None else f"{row['mean_rank']:.3g}", _distance(row["distance"])]
        lines.append((row["model"], tuple(cells)))
    return Lines(title(summary["metric"]), heads, tuple(lines), summary["how"])


def _rank(place: Mapping[str, Any]) -> str:
    """`2 (1 to 3)`"""
    best, worst = place["ranks"]
    return f"{place['rank']}" if best == worst else f"{place['rank']} ({best} to {worst})"


def _distance(found: Mapping[str, Any] | None) -> str:
    return NONE if found is None else estimate(found["mean"], found["ci95"])


def markdown(comparison: Mapping[str, Any]) -> str:
    """Of each part the answer in words, the table, and what to know before believing it; at last what all say."""
    parts = [_markdown(part, name or part["dataset"]) for name, part in parts_of(comparison).items()]
    if comparison.get("summary"):
        shown = summary_lines(comparison["summary"])
        lines = ["# On all datasets", "", markdown_line([plain(head) for head in shown.heads])]
        lines.append(markdown_line(["---", *["---:"] * (len(shown.heads) - 1)]))
        lines += [markdown_line([plain(cell) for cell in cells]) for _, cells in shown.lines]
        parts.append("\n".join([*lines, "", f"By {shown.title}. {shown.how}"]) + "\n")
    return "\n".join(parts)


def _markdown(comparison: Mapping[str, Any], name: str) -> str:
    table = grid(comparison)
    lines = [f"# Comparison on {plain(name)}", ""]
    lines += [f"- {plain(verdict.sentence)}" for verdict in verdicts(comparison)]
    lines += ["", markdown_line(["model", *table.heads, *COST_HEADS])]
    lines.append(markdown_line(["---", *["---:"] * (len(table.heads) + len(COST_HEADS))]))
    costs = [*[cost(row) for row in (*comparison["rows"], *comparison["controls"])], ("", "", "")]
    for label, cells, spent in zip(table.labels, table.cells, costs, strict=True):
        texts = [f"**{cell.text}**" if cell.best else cell.marked for cell in cells]
        lines.append(markdown_line([plain(label), *texts, *spent]))
    lines += ["", f"{LEGEND[0].upper()}{LEGEND[1:]}. {plain(protocol(comparison))}"]
    if comparison["notes"]:
        lines += ["", "Before you trust the table:", "", *[f"- {plain(note)}" for note in comparison["notes"]]]
    return "\n".join(lines) + "\n"


def protocol(comparison: Mapping[str, Any]) -> str:
    """One line of how the numbers came about."""
    budget, extractor = comparison["budget"], comparison["extractor"] or {}
    parts = [
        f"Split {comparison['split']}, {comparison['num_samples']:,} samples",
        f"extractor {extractor.get('name', 'n/a')} {extractor.get('hash', '')}".rstrip(),
        str(budget["equal"]),
    ]
    if budget["trials"] is not None:
        parts.append(f"{budget['trials']} trials a model ({budget['sampler']}, {budget['scheduler']})")
    if comparison["commit"]:
        parts.append(f"commit {comparison['commit']}")
    return "; ".join(parts) + "."


def plain(text: str) -> str:
    """Text that a Markdown reader shows as it is, whatever it holds."""
    for special in ("\\", "`", "*", "_", "[", "|", "#"):
        text = text.replace(special, f"\\{special}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())


def markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def terminal(comparison: Mapping[str, Any]) -> RenderableType:
    """For `rich`: of each part the answer, the table and what to know before trusting it."""
    parts = [_terminal(part, name) for name, part in parts_of(comparison).items()]
    return Group(*parts, *([_terminal_summary(comparison["summary"])] if comparison.get("summary") else []))


def _terminal_summary(summary: Mapping[str, Any]) -> RenderableType:
    shown = summary_lines(summary)
    caption = Text(f"all datasets, by {shown.title}")
    view = Table(title=caption, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(shown.heads):
        view.add_column(Text(head.replace(": ", "\n")), justify="right" if i else "left")
    for _, cells in shown.lines:
        view.add_row(*map(Text, cells))
    return Group(view, Text(shown.how, style="dim"))


def _terminal(comparison: Mapping[str, Any], name: str) -> RenderableType:
    notes = [Text(f"! {note}", style="yellow") for note in comparison["notes"]]
    said = Text(f"{name}: {answer(comparison)}" if name else answer(comparison), style="bold")
    controls = [_Fitted(comparison, controls=True)] if comparison["controls"] else []
    return Group(said, _Fitted(comparison), Text(LEGEND, style="dim"), *controls, *notes)


class _Fitted:
    """A table with metrics downwards, as four models fit a terminal's width and ten metrics do not. Where even those do
    not, intervals go below their means, and then models into several tables, each with the floor. With `controls`, of
    these in place of models."""

    def __init__(self, comparison: Mapping[str, Any], *, controls: bool = False) -> None:
        self._comparison, self._controls, self._grid = comparison, controls, grid(comparison)
        self._rows = [*comparison["rows"], *comparison["controls"]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        num_models = len(self._comparison["rows"])
        rows = list(range(num_models, len(self._rows)) if self._controls else range(num_models))
        tables = [self._table(rows, stacked=False)]
        for size in sorted({-(-len(rows) // parts) for parts in range(1, len(rows) + 1)}, reverse=True):
            if self._fit(tables, console, options):
                break
            tables = [self._table(rows[i : i + size], stacked=True) for i in range(0, len(rows), size)]
        yield from tables

    def _fit(self, tables: Sequence[Table], console: Console, options: ConsoleOptions) -> bool:
        endless = options.update(max_width=10_000)
        return all(Measurement.get(console, endless, table).maximum <= options.max_width for table in tables)

    def _table(self, rows: Sequence[int], *, stacked: bool) -> Table:
        """Of the rows of these numbers."""
        comparison, table = self._comparison, self._grid
        title = Text(f"{comparison['dataset']}, {comparison['split']} split{', controls' if self._controls else ''}")
        view = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        view.add_column("", no_wrap=True)
        for label in [*[_named(self._rows[row]) for row in rows], "floor"]:
            view.add_column(Text(label.replace(" ", "\n") if stacked else label), justify="right", no_wrap=True)
        for i, head in enumerate(table.heads):
            if any(table.cells[row][i].text != NONE for row in rows):
                view.add_row(Text(head), *[_styled(table.cells[row][i], stacked=stacked) for row in (*rows, -1)])
        view.add_section()
        for head, *values in zip(COST_HEADS, *[cost(self._rows[row]) for row in rows], strict=True):
            view.add_row(head, *values, "")
        return view


def _named(row: Mapping[str, Any]) -> str:
    """Of a control what tells it from the others, as the table's title says that they are controls."""
    return str(row["control"].replace("_", " ") if "control" in row else row["label"])


def _styled(cell: Cell, *, stacked: bool) -> Text:
    """`6.18 ± 0.24 ≈`, or in two lines `6.18 ≈` and `±0.24`."""
    text = cell.marked
    if stacked and cell.spread:
        text = f"{cell.mean}{' ≈' if cell.tied else ''}\n{cell.spread.replace(' ', '')}"
    return Text(text, style="bold green" if cell.best else "")
