"""The parts of the page as plain values, which the template only has to lay out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from optuna.trial import FrozenTrial, TrialState

from genray.pictures import PICTURES
from genray.report import plots, words
from genray.report.collect import Collection, Entry, Group
from genray.report.comparison import better, metric_names
from genray.report.intervals import bounds, summarize
from genray.report.parallel import parallel_coordinates, short
from genray.report.pictures import data_uri
from genray.report.plots import Style
from genray.report.search import FEWEST_FOR_IMPORTANCE, Search, epochs_of, last_values, reason_of

PICTURE_BYTES = 1_800_000  # of all pictures together; Plotly takes 4.8 MB of a page that should stay below 8

MOST_COLUMNS = 5  # of pictures side by side

View = dict[str, Any]


def link(path: Path, out: Path) -> str:
    """A relative address, which holds when the sweep's folder moves with its comparison inside."""
    return quote(os.path.relpath(path, out.absolute()))


def intervals(comparison: Mapping[str, Any], looks: Mapping[str, Style]) -> list[View]:
    """For each metric a strip of axis: a line a row with its interval, mean and seeds, and a band for the floor.
    Places are in per cent of the axis."""
    return [_strip(name, comparison, looks) for name in metric_names(comparison)]


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


def typical(group: Group, metric: str) -> Entry:
    """The run in the middle of the row's scores; of two in the middle, the worse: pictures flatter nobody."""
    sign = -1 if better(metric) == "higher" else 1
    ranked = sorted(group.entries, key=lambda entry: sign * entry.metrics.get(metric, math.inf))
    return ranked[len(ranked) // 2]


def galleries(collection: Collection, comparison: Mapping[str, Any]) -> View:
    """Samples beside real images, and each other kind of picture, of each row's typical run."""
    groups = {group.label: group for group in collection.groups}
    chosen = [
        (groups[row["label"]], typical(groups[row["label"]], comparison["primary"])) for row in comparison["rows"]
    ]
    found = {name: [_pictured(group, entry, name) for group, entry in _of_kind(name, chosen)] for name in PICTURES}
    real = next((path for e in collection.entries if (path := e.run.picture_path("real")).is_file()), None)
    limit = PICTURE_BYTES // max(1, sum(view["path"] is not None for views in found.values() for view in views) + 1)
    for view in (view for views in found.values() for view in views):
        view["uri"] = data_uri(view["path"], limit) if view["path"] else None
    return {
        "real": data_uri(real, limit) if real else None,
        "columns": min(len(chosen) + 1, 3 if len(chosen) < 6 else MOST_COLUMNS),
        "kinds": [
            _kind(name, views)
            for name, views in found.items()
            if any(view["uri"] for view in views) or (name == "samples" and real)
        ],
    }


def _of_kind(name: str, chosen: Sequence[tuple[Group, Entry]]) -> list[tuple[Group, Entry]]:
    """Samples of every row; other pictures do not depend on the sampler, so of one row among those of the same runs."""
    if name == "samples":
        return list(chosen)
    first: dict[str, tuple[Group, Entry]] = {}
    for group, entry in chosen:
        first.setdefault(group.label_of_runs, (group, entry))
    return list(first.values())


def _pictured(group: Group, entry: Entry, name: str) -> View:
    path = entry.samples_path if name == "samples" else entry.run.picture_path(name)
    return {
        "row": group.label,
        "label": group.label if name == "samples" else group.label_of_runs,
        "seed": entry.seed,
        "path": path if path.is_file() else None,
    }


def _kind(name: str, views: Sequence[View]) -> View:
    return {
        "name": name,
        "title": PICTURES[name].title,
        "caption": PICTURES[name].caption,
        "pictures": [view for view in views if view["uri"]],
        "without": [view["label"] for view in views if not view["uri"]],
    }


def searches(
    collection: Collection, looks: Mapping[str, Style], out: Path
) -> tuple[list[View], dict[str, plots.Figure]]:
    """For each study: counts, best configuration, importances and trials; and its figures by name."""
    views, figures = [], dict[str, plots.Figure]()
    for i, sweep in enumerate(collection.sweeps):
        for model, search in sweep.searches.items():
            if not search.trials:
                continue
            color = _color(model, collection, looks)
            view = _search(search, sweep.path, out) | {"sweep": sweep.settings.get("name"), "color": color}
            for kind, figure in (
                ("parallel", parallel_coordinates(search, color)),
                ("pareto", plots.pareto(search, color)),
            ):
                if figure is not None:
                    view[kind] = f"{kind}-{i}-{model}"
                    figures[view[kind]] = figure
            views.append(view)
    return views, figures


def _color(model: str, collection: Collection, looks: Mapping[str, Style]) -> str:
    own = [group.label for group in collection.groups if group.model == model]
    return looks[own[0]]["color"] if own else plots.GREY


def _search(search: Search, folder: Path, out: Path) -> View:
    importances, num_trials, epoch = search.importances()
    best = search.best
    states = {state.name.lower(): search.count(state) for state in TrialState}
    parameters = list(search.distributions)
    return {
        "model": search.model,
        "states": {name: count for name, count in states.items() if count},
        "num_trials": len(search.trials),
        "seconds": words.duration(search.seconds),
        "objectives": [words.title(objective.metric) for objective in search.objectives],
        "best": [(name, _value(value)) for name, value in best.params.items() if name != "seed"] if best else [],
        "best_number": best.number if best else None,
        "repeated": _repeated(search),
        "failure": search.failure,
        "importances": [(short(name), name, round(100 * float(share), 1)) for name, share in importances.items()],
        "importance_trials": num_trials,
        "importance_epoch": epoch,
        "fewest": FEWEST_FOR_IMPORTANCE,
        "parameters": [(name, short(name)) for name in parameters],
        "trials": [_trial(trial, search, parameters, folder, out) for trial in search.trials],
        "width": 110 * (len(parameters) + len(search.objectives) + 1),
    }


def _repeated(search: Search) -> list[tuple[list[tuple[str, str]], str, int]]:
    """Where seeds were searched: (parameters, mean with interval of the first objective, seeds), the best first."""
    if "seed" not in search.distributions:
        return []
    rows = []
    if max(map(len, search.configurations), default=0) < 2:
        return []
    for trials in search.configurations:
        found = summarize([trial.values[0] for trial in trials])
        params = [(name, _value(value)) for name, value in trials[0].params.items() if name != "seed"]
        rows.append((params, words.estimate(found["mean"], found["ci95"]), len(trials)))
    return rows


def _trial(trial: FrozenTrial, search: Search, parameters: Sequence[str], folder: Path, out: Path) -> View:
    run = folder / str(trial.user_attrs["run"]) if "run" in trial.user_attrs else None
    ends = [*last_values(trial), *[None] * len(search.objectives)][: len(search.objectives)]
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "best": search.best is not None and trial.number == search.best.number,
        "values": [words.number(value) if value is not None else "–" for value in ends],
        "epochs": "–" if (epochs := epochs_of(trial)) is None else epochs,
        "seconds": words.duration(trial.duration.total_seconds()) if trial.duration else "–",
        "parameters": [_value(trial.params[name]) if name in trial.params else "–" for name in parameters],
        "reason": reason_of(trial),
        "link": link(run, out) if run is not None and run.is_dir() else None,
    }


def _value(value: Any) -> str:
    return words.number(value) if isinstance(value, float) else str(value)


def runs(comparison: Mapping[str, Any], out: Path) -> list[View]:
    """For each row its runs, configuration, and what it cost."""
    return [
        {
            "label": row["label"],
            "sampled_from": row["sampled_from"],
            "runs": [(seed, link(Path(run), out)) for seed, run in zip(row["seeds"], row["runs"], strict=True)],
            "trials": _trials_text(row),
            "num_parameters": f"{row['num_parameters']:,}",
            "seconds": words.duration(row["train_seconds"]),
            "reads": sorted({reads for reads in row["test_reads"] if reads is not None}),
            "config": yaml.safe_dump(row["config"], sort_keys=False),
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
