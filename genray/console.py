"""What the commands print: plain lines that a terminal, a log file and a person can read."""

from __future__ import annotations

import ast
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genray.config import Experiment
from genray.runs import Row, Run

SCORES_SHOWN = 3  # in a row of progress; all of them stand in metrics.jsonl and TensorBoard


def tool(name: str) -> str:
    """How a user calls a program of this environment: by its name where the shell finds it, else by its path."""
    path = Path(sys.prefix) / "bin" / name
    found = shutil.which(name)
    if found and Path(found) == path:
        return name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Cells in columns as wide as their widest text, two spaces apart."""
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in lines)


def models() -> str:
    """A line a model: its name, and the first sentence of its file."""
    from genray import models

    return _files(models.__path__[0], models.names())


def studies() -> str:
    """A line a study: its name, and the first sentence of its file."""
    from genray import studies

    return _files(studies.__path__[0], studies.names())


def _files(folder: str, names: Sequence[str]) -> str:
    """Names and first sentences of modules, which are read but not imported."""
    rows = []
    for name in names:
        summary = ast.get_docstring(ast.parse(Path(folder, f"{name}.py").read_text())) or ""
        rows.append((name, summary.splitlines()[0] if summary else ""))
    return table(rows)


def datasets() -> str:
    """A line a dataset: name, shape, sizes of the splits, and whether it is there."""
    from genray.data import datasets

    rows = [["NAME", "IMAGES", "TRAIN", "VALIDATION", "TEST", "DOWNLOAD", "WHAT"]]
    for source in datasets.describe():
        shape = " x ".join(map(str, source.shape)) if source.shape else "any"
        sizes = [f"{size:,}" for size in source.sizes or ()] or ["-", "-", "-"]
        download = source.download if not source.is_present else "here already" if source.download else "none"
        rows.append([source.name, shape, *sizes, download, source.summary])
    return table(rows)


def progress(experiment: Experiment, row: Row) -> str:
    """`epoch 10/60  1.2 s  elbo 85.1  validation: frechet 20.1, precision 0.81`"""
    from genray import metrics
    from genray.report.words import duration, number

    ranked = [f"validation/{name}" for name, score in metrics.scores().items() if score.better != "none"]
    losses = [f"{key.split('/')[1]} {number(value)}" for key, value in row.items() if _is_loss(key)]
    scores = [f"{key.split('/')[1]} {number(row[key])}" for key in row if key in ranked]
    epoch, width = int(row["epoch"]), len(str(experiment.epochs))
    place = f"epoch {epoch:{width}}/{experiment.epochs}"
    if experiment.epochs is None:
        place = f"epoch {epoch}, {100 * experiment.share_done(row):3.0f} % of {experiment.limit.text}"
    parts = [place, f"{duration(row['train_seconds']):>7}"]
    parts += [f"loss: {', '.join(losses)}"] if losses else []
    parts += [f"validation: {', '.join(scores[:SCORES_SHOWN])}"] if scores else []
    return "   ".join(parts)


def _is_loss(key: str) -> bool:
    return key.startswith("train/") and key.endswith("/loss")


def trained(run: Run) -> str:
    """Where things are, and what can be done next."""
    genray, path = tool("genray"), shlex.quote(str(run.path))
    return table(
        [
            ("samples", str(run.picture_path("samples"))),
            ("curves", f"{tool('tensorboard')} --logdir {path}"),
            ("more samples", f"{genray} sample {path} --num 1000 --out samples.npz"),
            ("score on test", f"{genray} evaluate {path}"),
        ]
    )


def result(run: Path, result: Mapping[str, Any]) -> str:
    """Each score on the test split, beside what real images score."""
    from genray import metrics
    from genray.report.words import number

    known, floor, found = metrics.scores(), result["floor"], [result, *result["also"]]
    values = [f"FROM {each['sampled_from'].upper()}" for each in found] if len(found) > 1 else ["VALUE"]
    rows = [("METRIC", *values, "REAL IMAGES", "BETTER", "WHAT")]
    for name in dict.fromkeys(name for each in found for name in each["metrics"]):
        score = known[name]
        real = f"{number(floor[name]['mean'])} ± {number(floor[name]['ci95'])}" if name in floor else "-"
        values = [number(each["metrics"][name]) if name in each["metrics"] else "-" for each in found]
        rows.append((name, *values, real, score.better, score.summary))
    reasons = dict.fromkeys(reason for each in found for reason in each["failed"].values())
    lines = "".join(f"failed: {reason}\n" for reason in reasons)
    lines += "".join(f"left out: {name} {reason}\n" for name, reason in result["left_out"].items())
    if (reads := result["test_reads"]) > 1:
        lines += f"the {result['split']} split was read {reads} times for this run; a comparison will say so\n"
    return f"{table(rows)}\n\n{lines}wrote {run / 'result.json'}, and samples.png and real.png beside it"


def show_comparison(comparison: Mapping[str, Any], page: Path) -> None:
    """The table, in color where this is a terminal, where the page lies and how to see the curves."""
    from rich.console import Console

    from genray.report import tables
    from genray.report.comparison import parts_of

    rows = [row for part in parts_of(comparison).values() for row in part["rows"]]
    Console(soft_wrap=not sys.stdout.isatty()).print("", tables.terminal(comparison), "")
    logs = shlex.quote(str(_logs(page, [run for row in rows for run in row["runs"]])))
    print(table([("page", str(page / "index.html")), ("curves", f"{tool('tensorboard')} --logdir {logs}")]))


def _logs(page: Path, runs: Sequence[str]) -> Path:
    """The folder that holds the runs, and the page's final table where that lies among them or in their sweep. Any
    other that holds both, /home for example, holds much else that TensorBoard would read."""
    together = Path(os.path.commonpath([os.path.realpath(run) for run in runs]))
    both = Path(os.path.commonpath([os.path.realpath(page), together]))
    logs = both if (both / "sweep.yaml").is_file() else together
    return logs.relative_to(Path.cwd()) if logs.is_relative_to(Path.cwd()) else logs


def show_study(study: Mapping[str, Any], folder: Path) -> None:
    """What was found, which claims hold, the tables, and where the page lies."""
    from genray.report.study import not_reached

    print("\n".join(sentence for sentence in [not_reached(study), *study["summary"]] if sentence))
    for check in study["checks"]:
        print(f"\n{check['verdict']}: {check['claim']}\n  {check['found']}")
    for shown in study["tables"]:
        print(f"\n{shown['title']}\n{table([shown['columns'], *shown['rows']])}")
        if shown["note"]:
            print(shown["note"])
    print(f"\npage  {folder / 'index.html'}")
