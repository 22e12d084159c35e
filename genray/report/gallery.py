"""The pictures of a page: a wall of samples that goes back in training time, and the other kinds beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from genray.pictures.catalogue import PICTURES
from genray.report.collect import Collection, Group
from genray.report.comparison import better
from genray.report.entry import Entry
from genray.report.link import link
from genray.report.pictures import data_uri

# Of a page that should stay below 15 MB: base64 makes each a third larger, Plotly takes 4.8.
PICTURE_BYTES = 2_000_000
FRAME_BYTES = 2_400_000
MOST_PICTURES = 200  # of a page, so that each has 10 kB at least
MOST_COLUMNS = 5  # of pictures side by side

View = dict[str, Any]


def typical(group: Group, metric: str) -> Entry:
    """The run in the middle of the row's scores; of two in the middle, the worse: pictures flatter nobody."""
    sign = -1 if better(metric) == "higher" else 1
    ranked = sorted(group.entries, key=lambda entry: sign * entry.metrics.get(metric, math.inf))
    return ranked[len(ranked) // 2]


def galleries(collection: Collection, comparison: Mapping[str, Any], out: Path, *, share: float = 1.0) -> View:
    """Samples, between real images and those of controls, and each other kind of picture, of each row's typical run, as
    many of the best rows as have room: `share` of what a page has for pictures is this comparison's."""
    groups = {group.label: group for group in collection.groups}
    chosen = [
        (groups[row["label"]], typical(groups[row["label"]], comparison["primary"])) for row in comparison["rows"]
    ]
    found = {name: [_pictured(group, entry, name, out) for group, entry in _of_kind(name, chosen)] for name in PICTURES}
    chosen = chosen[: _num_shown(found, int(share * MOST_PICTURES))]
    labels = {group.label for group, _ in chosen}
    found = {name: [view for view in views if view["row"] in labels] for name, views in found.items()}
    controls = [{**control, "path": Path(control["samples"])} for control in comparison["controls"]]
    real = next((path for e in collection.entries if (path := e.run.picture_path("real")).is_file()), None)
    shown = [*controls, *(view for views in found.values() for view in views)]
    limit = int(share * PICTURE_BYTES) // (sum(view["path"] is not None for view in shown) + 1)
    for view in shown:
        view["uri"] = data_uri(view["path"], limit) if view["path"] else None
    for view, (_, entry) in zip(found["samples"], chosen, strict=True):
        view["frames"] = _frames(entry, int(share * FRAME_BYTES) // len(chosen)) if view["uri"] else []
    return {
        "real": data_uri(real, limit) if real else None,
        "controls": [control for control in controls if control["uri"]],
        "num_rows": len(chosen),
        "columns": min(len(chosen) + 1, 3 if len(chosen) < 6 else MOST_COLUMNS),
        "epochs": _epochs(found["samples"]),
        "kinds": [
            _kind(name, views)
            for name, views in found.items()
            if any(view["uri"] for view in views) or (name == "samples" and (real or controls))
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


def _num_shown(found: Mapping[str, Sequence[View]], room: int) -> int:
    """Of how many rows, from the best on, all pictures are among the first `room`; of one at least."""
    counts = {view["row"]: 0 for view in found["samples"]}
    for views in found.values():
        for view in views:
            counts[view["row"]] += view["path"] is not None
    return max(1, sum(total <= room for total in accumulate(counts.values())))


def _pictured(group: Group, entry: Entry, name: str, out: Path) -> View:
    path = entry.samples_path if name == "samples" else entry.run.picture_path(name)
    return {
        "row": group.label,
        "model": group.model,
        "label": group.label if name == "samples" else group.label_of_runs,
        "seed": entry.seed,
        "link": link(entry.run.path, out),
        "last": entry.last_epoch,
        "path": path if path.is_file() else None,
    }


def _frames(entry: Entry, limit: int) -> list[tuple[int, str]]:
    """(epoch, address) before the last epoch, as many as fit into `limit` bytes, evenly spread. Frames are drawn by the
    sampler that scores while training, so there are none of another."""
    earlier = [(epoch, path) for epoch, path in entry.frames.items() if epoch < entry.last_epoch]
    for step in range(1, len(earlier) + 1):
        shown = earlier[::step]
        if sum(path.stat().st_size for _, path in shown) <= limit:
            return [(epoch, uri) for epoch, path in shown if (uri := data_uri(path, limit))]
    return []


def _epochs(views: Sequence[View]) -> list[int]:
    """Where the slider over time stops: at every row's frames and ends. Empty where no row has a frame."""
    stops = {epoch for view in views for epoch, _ in view["frames"]}
    return sorted(stops | {view["last"] for view in views if view["uri"]}) if stops else []


def _kind(name: str, views: Sequence[View]) -> View:
    return {
        "name": name,
        "title": PICTURES[name].title,
        "caption": PICTURES[name].caption,
        "lettered": PICTURES[name].lettered,
        "pictures": [view for view in views if view["uri"]],
        "without": [view["label"] for view in views if not view["uri"]],
    }
