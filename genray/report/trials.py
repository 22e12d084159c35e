"""The searches of a comparison as plain values, which the template only has to lay out; and their figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from genray.intervals import summarize
from genray.report import plots, tradeoffs, words
from genray.report.collect import Collection
from genray.report.comparison import expected_best
from genray.report.link import link
from genray.report.parallel import parallel_coordinates, short_names
from genray.report.plots import Style
from genray.report.search import FEWEST_FOR_IMPORTANCE, Search, epochs_of, last_values, reason_of

View = dict[str, Any]


def luck(collection: Collection, looks: Mapping[str, Style], prefix: str) -> dict[str, plots.Figure]:
    """For each sweep in which some model was tried twice, the expected best of k trials, by name of the figure."""
    made = {}
    for i, sweep in enumerate(collection.sweeps):
        own = expected_best(sweep)
        if any(len(search["values"]) > 1 for search in own):
            styles = {s["model"]: _look(s["model"], collection, looks) for s in own}
            made[f"{prefix}luck-{i}"] = plots.expected_best(own, styles)
    return made


def searches(
    collection: Collection, looks: Mapping[str, Style], out: Path, prefix: str
) -> tuple[list[View], dict[str, plots.Figure]]:
    """For each study: counts, best configuration, importances and trials; and its figures by name."""
    views, figures = [], dict[str, plots.Figure]()
    for i, sweep in enumerate(collection.sweeps):
        for model, search in sweep.searches.items():
            if not search.trials:
                continue
            color = _look(model, collection, looks)["color"]
            view = _search(search, sweep.path, out) | {"sweep": sweep.settings.get("name"), "color": color}
            for kind, figure in (
                ("parallel", parallel_coordinates(search, color)),
                ("pareto", tradeoffs.pareto(search, color)),
            ):
                if figure is not None:
                    view[kind] = f"{prefix}{kind}-{i}-{model}"
                    figures[view[kind]] = figure
            views.append(view)
    return views, figures


def _look(model: str, collection: Collection, looks: Mapping[str, Style]) -> Style:
    own = [group.label for group in collection.groups if group.model == model]
    return looks[own[0]] if own else {"color": plots.GREY, "dash": "solid"}


def _search(search: Search, folder: Path, out: Path) -> View:
    importances, num_trials, epoch = search.importances()
    best = search.best
    states = {state.name.lower(): search.count(state) for state in TrialState}
    parameters, names = list(search.distributions), short_names(search)
    return {
        "model": search.model,
        "states": {name: count for name, count in states.items() if count},
        "num_trials": len(search.trials),
        "seconds": words.duration(search.seconds),
        "objectives": [
            (words.title(objective.metric), "ascending" if objective.mode == "min" else "descending")
            for objective in search.objectives
        ],
        "best": [(name, _value(value)) for name, value in best.params.items() if name != "seed"] if best else [],
        "best_number": best.number if best else None,
        "repeated": _repeated(search),
        "failure": search.failure,
        "reasons": _reasons(search),
        "importances": [(names[name], name, round(100 * float(share), 1)) for name, share in importances.items()],
        "importance_trials": num_trials,
        "importance_epoch": epoch,
        "fewest": FEWEST_FOR_IMPORTANCE,
        "parameters": list(names.items()),
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


def _reasons(search: Search) -> list[tuple[str, str, int]]:
    """(state, reason, number of trials) of those that did not complete: failures first, the commonest first."""
    ended = (TrialState.FAIL, TrialState.PRUNED)
    counts = Counter((t.state, reason_of(t) or "no reason was noted") for t in search.trials if t.state in ended)
    ranked = sorted(counts.items(), key=lambda found: (ended.index(found[0][0]), -found[1]))
    return [(state.name.lower(), reason, count) for (state, reason), count in ranked]


def _trial(trial: FrozenTrial, search: Search, parameters: Sequence[str], folder: Path, out: Path) -> View:
    run = folder / str(trial.user_attrs["run"]) if "run" in trial.user_attrs else None
    seconds = trial.duration.total_seconds() if trial.duration else None
    ends = [*last_values(trial), *[None] * len(search.objectives)][: len(search.objectives)]
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "best": search.best is not None and trial.number == search.best.number,
        "values": [_cell(value) for value in ends],
        "epochs": _cell(epochs_of(trial)),
        "seconds": (seconds, words.duration(seconds) if seconds is not None else "–"),
        "parameters": [_cell(trial.params.get(name)) for name in parameters],
        "reason": reason_of(trial),
        "link": link(run, out) if run is not None and run.is_dir() else None,
    }


def _cell(value: Any) -> tuple[Any, str]:
    """What a column is sorted by, None for what stays last, and what is shown."""
    if value is None:
        return None, "–"
    return None if isinstance(value, float) and not math.isfinite(value) else value, _value(value)


def _value(value: Any) -> str:
    return words.number(value) if isinstance(value, float) else str(value)
