"""The page: one file that opens without a network and asks for nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from genray.report import plots, tables, tradeoffs, trials, view, words
from genray.report.collect import Collection
from genray.report.gallery import galleries
from genray.report.templates import environment, inline

SCRIPTS = ("theme", "figures", "filter", "table", "time")  # theme first: it makes the page light before it is printed


def render(
    results: Mapping[str, Mapping[str, Any]],
    collections: Mapping[str, Collection],
    *,
    paths: Sequence[Path],
    out: Path,
    controls: bool | None = None,
    summary: Mapping[str, Any] | None = None,
) -> str:
    """The whole page, of one comparison or of several by name. `paths` are the runs as the user named them, `out` is
    where the page will lie, `controls` whether the user asked for them, `summary` what several datasets say together.
    """
    parts, figures = [], dict[str, plots.Figure]()
    for i, (name, comparison) in enumerate(results.items()):
        prefix = f"part{i}-" if len(results) > 1 else ""
        part, own = _part(comparison, collections[name], out, prefix=prefix, share=1 / len(results))
        parts.append(part | {"name": name, "count": _count(comparison), "answer": words.answer(comparison)})
        figures |= own
    models = {row["model"] for part in parts for row in part["comparison"]["rows"]}
    searched = {search["model"] for part in parts for search in part["searches"]}
    template = environment().get_template("page.html")
    return template.render(
        parts=parts,
        title=words.listed(list(dict.fromkeys(part["comparison"]["dataset"] for part in parts))),
        models=sorted(models | searched),
        commands=_commands(list(collections.values()), paths, out, controls),
        figures=figures,
        summary=summary and tables.summary_lines(summary),
        title_of=words.title,
        counted=words.counted,
        css=inline("page.css"),
        dark=inline("page/dark.css"),
        scripts=[inline(f"page/{name}.js") for name in SCRIPTS],
        plotly=Markup(get_plotlyjs()) if figures else "",  # noqa: S704  the installed package's own file
    )


def _part(
    comparison: Mapping[str, Any], collection: Collection, out: Path, *, prefix: str, share: float
) -> tuple[dict[str, Any], dict[str, plots.Figure]]:
    """What the page shows of one comparison, and its figures. `prefix` begins the names of both in the page."""
    looks = plots.styles([group.label for group in collection.groups])
    groups = sorted(collection.groups, key=lambda g: [row["label"] for row in comparison["rows"]].index(g.label))
    decided = [verdict for verdict in words.verdicts(comparison) if verdict.contested]
    table = view.scores(comparison)
    curves = plots.learning_curves(groups, table["columns"], looks)
    tradeoff = tradeoffs.figures(comparison, [verdict.metric for verdict in decided], looks)
    luck = trials.luck(collection, looks, prefix)
    searches, figures = trials.searches(collection, looks, out, prefix)
    figures |= luck | {f"{prefix}curve-{metric}": figure for metric, figure in curves.items()}
    figures |= {f"{prefix}{cost}-{metric}": f for metric, costs in tradeoff.items() for cost, f in costs.items()}
    part = {
        "prefix": prefix,
        "comparison": comparison,
        "budget": _budget(comparison["budget"]),
        "verdicts": decided,
        "table": table,
        "strips": view.intervals(comparison, looks),
        "gallery": galleries(collection, comparison, out, share=share),
        "curves": [(metric, words.title(metric), view.direction(metric)) for metric in curves],
        "tradeoffs": [(metric, words.title(metric)) for metric in tradeoff],
        "luck": list(luck),
        "searches": searches,
        "runs": view.runs(comparison, out),
        "looks": {row["label"]: {**looks[row["label"]], "model": row["model"]} for row in comparison["rows"]},
    }
    return part, figures


def _count(comparison: Mapping[str, Any]) -> str:
    """`4 models`, `12 rows of 4 models`"""
    rows, models = len(comparison["rows"]), len({row["model"] for row in comparison["rows"]})
    text = f"{models} {'model' if models == 1 else 'models'}"
    return text if rows == models else f"{rows} rows of {text}"


def _budget(budget: Mapping[str, Any]) -> dict[str, str]:
    """What a model was given, in words; what is not known is left out."""
    entries = {
        "Trials a model": budget["trials"],
        "Search": budget["sampler"],
        "Early stopping": budget["scheduler"],
        "Training of a run, at most": budget["equal"],
        "Seeds of the best": budget["seeds"],
        "Time of all trials": None if budget["search_seconds"] is None else words.duration(budget["search_seconds"]),
        "Time of the runs compared": words.duration(budget["train_seconds"]),
    }
    return {name: str(value) for name, value in entries.items() if value is not None}


def _commands(
    collections: Sequence[Collection], paths: Sequence[Path], out: Path, controls: bool | None
) -> list[tuple[str, str]]:
    """(what it does, command) to get this page, its sweeps and one of its runs again."""
    given = " ".join(shlex.quote(str(path)) for path in paths)
    datasets = {entry.run.experiment.dataset for collection in collections for entry in collection.entries}
    mixed = " --mixed" if len(collections) > len(datasets) else ""
    asked = "" if controls is None else " --controls" if controls else " --no-controls"
    page = f"genray compare {given}{mixed}{asked} --out {shlex.quote(str(out))}"
    commands = [("This page from the same runs", page)]
    for folder in dict.fromkeys(sweep.path for collection in collections for sweep in collection.sweeps):
        commands.append(
            ("The whole sweep again", f"genray sweep {shlex.quote(str(folder / 'sweep.yaml'))} --out FOLDER")
        )
    run = collections[0].entries[0].run
    config = shlex.quote(str(run.path / "experiment.yaml"))
    commands.append(("One run again", f"genray train {run.experiment.model.name} --config {config} --out FOLDER"))
    return commands
