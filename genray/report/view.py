"""The parts of the page as plain values, which the template only has to lay out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genray.files import to_yaml
from genray.intervals import bounds
from genray.report import words
from genray.report.comparison import better, grouped, metric_names
from genray.report.link import link
from genray.report.plots import Style
from genray.report.tables import grid

View = dict[str, Any]


def scores(comparison: Mapping[str, Any]) -> View:
    """The table: its columns under their groups, a line a row with what each cell is sorted by, and the floor."""
    table, names = grid(comparison), metric_names(comparison)
    groups = grouped(comparison)
    columns = [name for members in groups.values() for name in members]
    order = [names.index(name) for name in columns]
    return {
        "groups": [(group, len(members)) for group, members in groups.items()],
        "columns": columns,
        "rows": [
            {
                "row": row,
                "cells": [(row["metrics"].get(names[i], {}).get("mean"), cells[i]) for i in order],
                "seconds": words.duration(row["train_seconds"]),
            }
            for row, cells in zip(comparison["rows"], table.cells, strict=False)
        ],
        "controls": [
            (row, [cells[i] for i in order], words.duration(row["train_seconds"]))
            for row, cells in zip(comparison["controls"], table.cells[len(comparison["rows"]) :], strict=False)
        ],
        "floor": [table.cells[-1][i] for i in order] if comparison["floor"] else None,
    }


def intervals(comparison: Mapping[str, Any], looks: Mapping[str, Style]) -> list[View]:
    """For each metric a strip of axis: a line a row with its interval, mean and seeds, and a band for the floor.
    Places are in per cent of the axis."""
    return [_strip(name, comparison, looks) for names in grouped(comparison).values() for name in names]


def _strip(metric: str, comparison: Mapping[str, Any], looks: Mapping[str, Style]) -> View:
    rows = [row for row in comparison["rows"] if metric in row["metrics"]]
    floor = comparison["floor"].get(metric)
    shown = [row["metrics"][metric] for row in rows] + ([floor] if floor else [])
    low, high = _ends([v for estimate in shown for v in (*bounds(estimate), *(estimate.get("values") or []))])

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def mark(estimate: Mapping[str, Any]) -> View:
        left, right = map(place, bounds(estimate))
        text = words.estimate(estimate["mean"], estimate.get("ci95"))
        return {"left": left, "width": round(right - left, 2), "mean": place(estimate["mean"]), "text": text}

    lines = [
        {
            "label": r["label"],
            "model": r["model"],
            **looks[r["label"]],
            **mark(m := r["metrics"][metric]),
            "seeds": [place(v) for v in m["values"]],
        }
        for r in rows
    ]
    return {
        "metric": metric,
        "title": words.title(metric),
        "direction": words.DIRECTIONS.get(better(metric), "neither end is better"),
        "first": "descending" if better(metric) == "higher" else "ascending",  # the better end
        "arrow": words.ARROWS.get(better(metric), ""),
        "unit": words.unit(metric),
        "summary": words.summary(metric),
        "source": words.source(metric),
        "rows": lines,
        "floor": mark(floor) if floor else None,
        "low": words.number(low),
        "high": words.number(high),
    }


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that holds the values with a margin, from 0 where that is not far off."""
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5 * abs(low) or 0.5
    return (0.0 if 0 <= low < 0.4 * high else low - margin), high + margin


def runs(comparison: Mapping[str, Any], out: Path) -> list[View]:
    """For each row its runs, configuration, and what it cost."""
    return [
        {
            "label": row["label"],
            "model": row["model"],
            "sampled_from": row["sampled_from"],
            "runs": [(seed, link(Path(run), out)) for seed, run in zip(row["seeds"], row["runs"], strict=True)],
            "trials": _trials_text(row),
            "num_parameters": f"{row['num_parameters']:,}",
            "seconds": words.duration(row["train_seconds"]),
            "reads": sorted({reads for reads in row["test_reads"] if reads is not None}),
            "config": to_yaml(row["config"]),
        }
        for row in comparison["rows"]
    ]


def _trials_text(row: Mapping[str, Any]) -> str:
    """`8, of which 1 failed`"""
    if row["trials"] is None:
        return "n/a"
    return f"{row['trials']}, of which {row['failed_trials']} failed" if row["failed_trials"] else str(row["trials"])


def direction(metric: str) -> str:
    return words.DIRECTIONS.get(better(metric), "")
