"""From run folders to a comparison: data, tables and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genray.errors import UserError


def compare(
    runs: Sequence[Path | str], out: Path | str, *, mixed: bool = False, controls: bool | None = False
) -> dict[str, Any]:
    """Compares runs and writes comparison.json, .csv, .md, index.html and TensorBoard events to the folder `out`.

    `runs` are sweep folders, folders of evaluated runs, or both. Returns what comparison.json holds. Raises UserError
    for a folder that is neither, and for runs whose numbers do not compare; where `mixed`, those get a table each
    instead. So do datasets, and comparison.json then holds {"parts": {name: comparison}, "summary": …}. With
    `controls`, control rows stand beside the models; None: where they can be had, unless a sweep among the runs says
    `controls: false`.
    """
    from genray import files
    from genray.report import comparison, html, summary, tables, tensorboard
    from genray.report.collect import collect_apart, collect_by_dataset
    from genray.report.controls import beside, wanted

    paths, out = [Path(run) for run in runs], Path(out)
    if (out / "index.html").exists() and not (out / "comparison.json").exists():
        raise UserError(f"{out} holds an index.html that is no comparison's; give another folder with --out")
    collections = collect_apart(paths) if mixed else collect_by_dataset(paths)
    results = {name: comparison.build(collection) for name, collection in collections.items()}
    if controls if controls is not None else wanted(collections.values()):
        results = {name: beside(results[name], of, required=bool(controls)) for name, of in collections.items()}
    result, over_all = comparison.joined(results), summary.of_datasets(results)
    if over_all is not None:
        result["summary"] = over_all
    texts = {  # all that can be refused is made before anything is written
        "comparison.csv": tables.csv(result),
        "comparison.md": tables.markdown(result),
        "index.html": html.render(results, collections, paths=paths, out=out, controls=controls, summary=over_all),
    }
    events = tensorboard.events(results, collections)
    try:
        files.drop_half_written(out)
        files.write_json(out / "comparison.json", result)
        for name, text in texts.items():
            files.write_text(out / name, text)
        tensorboard.write(out, *events)
    except OSError as error:
        raise UserError(
            f"cannot write the comparison to {out}: {error.strerror}; give another folder with --out"
        ) from None
    return result


def runs_of(out: Path | str) -> list[str]:
    """The runs of the comparison that lies in a folder; none where there is none that can be read."""
    from genray.report.comparison import parts_of

    try:
        found = json.loads((Path(out) / "comparison.json").read_text())
        return [run for part in parts_of(found).values() for row in part["rows"] for run in row["runs"]]
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return []
