"""The page: one file that opens without a network and asks for nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from genray.report import plots, tables, view, words
from genray.report.collect import Collection
from genray.report.comparison import metric_names
from genray.report.templates import environment, inline


def render(comparison: Mapping[str, Any], collection: Collection, *, paths: Sequence[Path], out: Path) -> str:
    """The whole page. `paths` are the runs as the user named them, `out` is where the page will lie."""
    looks = plots.styles([group.label for group in collection.groups])
    groups = sorted(collection.groups, key=lambda g: [row["label"] for row in comparison["rows"]].index(g.label))
    curves = plots.learning_curves(groups, metric_names(comparison), looks)
    searches, figures = view.searches(collection, looks, out)
    figures |= {f"curve-{metric}": figure for metric, figure in curves.items()}
    template = environment().get_template("page.html")
    return template.render(
        comparison=comparison,
        count=_count(comparison),
        budget=_budget(comparison["budget"]),
        answer=words.answer(comparison),
        verdicts=[verdict for verdict in words.verdicts(comparison) if verdict.contested],
        grid=tables.grid(comparison),
        strips=view.intervals(comparison, looks),
        gallery=view.galleries(collection, comparison),
        curves=[(metric, words.title(metric), view.direction(metric)) for metric in curves],
        searches=searches,
        runs=view.runs(comparison, out),
        looks={row["label"]: looks[row["label"]] for row in comparison["rows"]},
        commands=_commands(collection, paths, out),
        figures=figures,
        title_of=words.title,
        counted=words.counted,
        css=inline("page.css"),
        script=inline("page.js"),
        plotly=Markup(get_plotlyjs()) if figures else "",  # noqa: S704  the installed package's own file
    )


def _count(comparison: Mapping[str, Any]) -> str:
    """`4 models`, `12 configurations of 4 models`"""
    rows, models = len(comparison["rows"]), len({row["model"] for row in comparison["rows"]})
    text = f"{models} {'model' if models == 1 else 'models'}"
    return text if rows == models else f"{rows} rows of {text}"


def _budget(budget: Mapping[str, Any]) -> dict[str, str]:
    """What a model was given, in words; what is not known is left out."""
    entries = {
        "Trials a model": budget["trials"],
        "Search": budget["sampler"],
        "Early stopping": budget["scheduler"],
        "Epochs at most": budget["epochs"],
        "Seeds of the best": budget["seeds"],
        "Time of all trials": None if budget["search_seconds"] is None else words.duration(budget["search_seconds"]),
        "Time of the runs compared": words.duration(budget["train_seconds"]),
    }
    return {name: str(value) for name, value in entries.items() if value is not None}


def _commands(collection: Collection, paths: Sequence[Path], out: Path) -> list[tuple[str, str]]:
    """(what it does, command) to get this page, its sweeps and one of its runs again."""
    given = " ".join(shlex.quote(str(path)) for path in paths)
    commands = [("This page from the same runs", f"genray compare {given} --out {shlex.quote(str(out))}")]
    for sweep in collection.sweeps:
        name = shlex.quote(str(sweep.path / "sweep.yaml"))
        commands.append(("The whole sweep again", f"genray sweep {name} --out FOLDER"))
    run = collection.entries[0].run
    config = shlex.quote(str(run.path / "experiment.yaml"))
    commands.append(("One run again", f"genray train {run.experiment.model.name} --config {config} --out FOLDER"))
    return commands
