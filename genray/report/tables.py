"""The comparison as a table: Markdown, CSV, and for the terminal."""

from __future__ import annotations

import csv as csv_module
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from genray.report.comparison import better, metric_names
from genray.report.words import ARROWS, answer, duration, estimate, title, unit, verdicts

FLOOR = "real images (floor)"
LEGEND = (
    "mean ± half of the 95 % Student-t interval over seeds; bold: best mean; ≈: its interval overlaps the best one's"
)

NONE = "–"  # where a row has no such score


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
    """The table that all forms show: a line a row of the comparison, and one for the floor."""

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
                    estimate(found["mean"], found["ci95"]) if found else NONE,
                    best=several and verdict is not None and verdict.best == row["label"],
                    tied=several and verdict is not None and row["label"] in verdict.tied,
                )
            )
        lines.append(tuple(cells))
    floor = comparison["floor"]
    lines.append(tuple(Cell(estimate(f["mean"], f.get("ci95")) if (f := floor.get(n)) else NONE) for n in names))
    labels = tuple(row["label"] for row in comparison["rows"])
    return Grid(tuple(metric_head(name) for name in names), (*labels, FLOOR), tuple(lines))


def cost(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Parameters, seconds of training one run, and seeds, of a row."""
    return f"{row['num_parameters']:,}", duration(row["train_seconds"]), str(len(row["seeds"]))


COST_HEADS = ("parameters", "training", "seeds")


def csv(comparison: Mapping[str, Any]) -> str:
    """A line for each row and metric, and for the floor, in full precision. `values` are separated by spaces."""
    file = io.StringIO()
    writer = csv_module.writer(file, lineterminator="\n")
    writer.writerow(
        ["label", "model", "sampled_from", "metric", "better", "unit", "mean", "std", "ci95", "n", "values"]
    )
    floor = {"label": "floor", "model": "", "sampled_from": "", "metrics": comparison["floor"]}
    for row in [*comparison["rows"], floor]:
        for name in metric_names(comparison):
            if (found := row["metrics"].get(name)) is None:
                continue
            values = found.get("values") or []
            numbers = ["" if found.get(key) is None else repr(found[key]) for key in ("mean", "std", "ci95")]
            listed = " ".join(map(repr, values))
            ids = [row["label"], row["model"], row["sampled_from"]]
            writer.writerow([*ids, name, better(name), unit(name), *numbers, len(values), listed])
    return file.getvalue()


def markdown(comparison: Mapping[str, Any]) -> str:
    """The answer in words, the table, and what to know before believing it."""
    table = grid(comparison)
    lines = [f"# Comparison on {plain(comparison['dataset'])}", ""]
    lines += [f"- {plain(verdict.sentence)}" for verdict in verdicts(comparison)]
    lines += ["", markdown_line(["model", *table.heads, *COST_HEADS])]
    lines.append(markdown_line(["---", *["---:"] * (len(table.heads) + len(COST_HEADS))]))
    costs = [*[cost(row) for row in comparison["rows"]], ("", "", "")]
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
        f"{budget['epochs']} epochs",
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
    """For `rich`: the answer, the table and what to know before trusting it."""
    notes = [Text(f"! {note}", style="yellow") for note in comparison["notes"]]
    return Group(Text(answer(comparison), style="bold"), _Fitted(comparison), Text(LEGEND, style="dim"), *notes)


class _Fitted:
    """A table with metrics downwards, as four models fit a terminal's width and ten metrics do not. Where even those do
    not, intervals go below their means, and then models into several tables, each with the floor."""

    def __init__(self, comparison: Mapping[str, Any]) -> None:
        self._comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = list(range(len(self._comparison["rows"])))
        tables = [self._table(rows, stacked=False)]
        for parts in range(1, len(rows) + 1):
            if self._fit(tables, console, options):
                break
            size = -(-len(rows) // parts)
            tables = [self._table(rows[i : i + size], stacked=True) for i in range(0, len(rows), size)]
        yield from tables

    def _fit(self, tables: Sequence[Table], console: Console, options: ConsoleOptions) -> bool:
        endless = options.update(max_width=10_000)
        return all(Measurement.get(console, endless, table).maximum <= options.max_width for table in tables)

    def _table(self, rows: Sequence[int], *, stacked: bool) -> Table:
        """Of the rows of these numbers."""
        comparison, table = self._comparison, grid(self._comparison)
        title = Text(f"{comparison['dataset']}, {comparison['split']} split")
        view = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        view.add_column("", no_wrap=True)
        for label in [*[table.labels[row] for row in rows], "floor"]:
            view.add_column(Text(label.replace(" ", "\n") if stacked else label), justify="right", no_wrap=True)
        for i, head in enumerate(table.heads):
            if any(table.cells[row][i].text != NONE for row in rows):
                view.add_row(Text(head), *[_styled(table.cells[row][i], stacked=stacked) for row in (*rows, -1)])
        view.add_section()
        for head, *values in zip(COST_HEADS, *[cost(comparison["rows"][row]) for row in rows], strict=True):
            view.add_row(head, *values, "")
        return view


def _styled(cell: Cell, *, stacked: bool) -> Text:
    """`6.18 ± 0.24 ≈`, or in two lines `6.18 ≈` and `±0.24`."""
    text = cell.marked
    if stacked and cell.spread:
        text = f"{cell.mean}{' ≈' if cell.tied else ''}\n{cell.spread.replace(' ', '')}"
    return Text(text, style="bold green" if cell.best else "")
