"""Which runs may share a table: those whose numbers mean the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from genray.errors import UserError
from genray.report.entry import Entry

# What must be equal in every run, and what to do where it is not.
COMPARABLE = {
    "dataset": "scores on different datasets do not compare",
    "split": "scores on different splits do not compare; run `genray evaluate` on each run",
    "fingerprint": "the images differ although the name is the same; evaluate all runs on one copy of the dataset",
    "extractor": "distances in different features do not compare; run `genray evaluate` on each run again",
    "classifier": "classes told by different networks do not compare; run `genray evaluate` on each run again",
    "budget": "what was trained longer is not better for that; train all runs with the same epochs or budget",
    "num_samples": "scores depend on the number of samples; evaluate each run with the same num_samples",
}

_NETWORKS = ("extractor", "classifier")  # of which name and hash count


def difference(a: Entry, b: Entry) -> str | None:
    """Why two runs may not share a table, with their values and the fix; None where they may."""
    for key, fix in COMPARABLE.items():
        if (one := _text(a, key)) != (other := _text(b, key)):
            return f"{key}: {one} in {a.run.path}, {other} in {b.run.path}; {fix}"
    for name, version in a.metric_versions.items():
        if (other_version := b.metric_versions.get(name, version)) != version:
            return (
                f"the version of {name}: {version} in {a.run.path}, {other_version} in {b.run.path}; "
                f"it was computed differently; run `genray evaluate` on each run again"
            )
    return None


def refuse_mixtures(entries: Iterable[Entry]) -> None:
    """Raises UserError, naming two runs and their values, where numbers of one table would not mean the same."""
    for a, b in combinations(entries, 2):
        if found := difference(a, b):
            raise UserError(f"the runs differ in {found}; or give them a table each with --mixed")


def apart(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Runs that may share a table together, by a name that says in what they differ from the others."""
    parts: list[list[Entry]] = []
    for entry in entries:
        fitting = next((part for part in parts if not any(difference(other, entry) for other in part)), None)
        if fitting is None:
            parts.append([entry])
        else:
            fitting.append(entry)
    return dict(zip(_names([part[0] for part in parts]), parts, strict=True))


def _names(firsts: Sequence[Entry]) -> list[str]:
    """`mnist`, and as much more as tells each from the others: `mnist, num_samples 1000`."""
    names = [_plain(entry, "dataset") for entry in firsts]
    for key in list(COMPARABLE)[1:]:
        values = [_plain(entry, key) for entry in firsts]
        if len(set(names)) < len(names) and len(set(values)) > 1:
            names = [f"{name}, {key} {value}" for name, value in zip(names, values, strict=True)]
    if len(set(names)) < len(names):  # in versions of metrics alone
        names = [f"{name}, table {i}" for i, name in enumerate(names, start=1)]
    return names


def _text(entry: Entry, key: str) -> str:
    return json.dumps(_value(entry, key), sort_keys=True)


def _plain(entry: Entry, key: str) -> str:
    return str(_value(entry, key))


def _value(entry: Entry, key: str) -> Any:
    if key == "dataset":
        return entry.run.experiment.dataset
    if key == "budget":
        return entry.run.experiment.limit.text
    value = entry.result.get(key)
    if key == "classifier" and value is None:  # results before there was a choice: the extractor was the classifier
        value = entry.result.get("extractor")
    return f"{value.get('name')} {value.get('hash')}" if key in _NETWORKS and isinstance(value, dict) else value
