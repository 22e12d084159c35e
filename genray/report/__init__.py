"""From run folders to a comparison: data, tables and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genray.errors import UserError


def compare(runs: Sequence[Path | str], out: Path | str) -> dict[str, Any]:
    """Compares runs and writes comparison.json, .csv, .md, index.html and TensorBoard events to the folder `out`.

    `runs` are sweep folders, folders of evaluated runs, or both. Returns what comparison.json holds. Raises UserError
    for a folder that is neither, and for runs whose numbers do not compare.
    """
    from genray import files
    from genray.report import comparison, html, tables, tensorboard
    from genray.report.collect import collect

    paths, out = [Path(run) for run in runs], Path(out)
    collection = collect(paths)
    result = comparison.build(collection)
    page = html.render(result, collection, paths=paths, out=out)
    try:
        files.write_json(out / "comparison.json", result)
        files.write_text(out / "comparison.csv", tables.csv(result))
        files.write_text(out / "comparison.md", tables.markdown(result))
        files.write_text(out / "index.html", page)
        tensorboard.write(result, collection, out)
    except OSError as error:
        raise UserError(
            f"cannot write the comparison to {out}: {error.strerror}; give another folder with --out"
        ) from None
    return result
