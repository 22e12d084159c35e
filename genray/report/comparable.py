"""Which runs may share a table: those whose numbers mean the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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


class Part:
    """Runs that may share a table. A further one is held against what is known of all, not against each."""

    def __init__(self, first: Entry) -> None:
        self.entries: list[Entry] = []
        self._texts = _texts(first)
        self._versions: dict[str, tuple[int, Entry]] = {}  # of each metric, and the first run that has it
        self.add(first)

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._versions = {name: (version, entry) for name, version in entry.metric_versions.items()} | self._versions

    def difference(self, entry: Entry) -> str | None:
        """Why it may not share their table, with the values of two runs and the fix; None where it may."""
        first, texts = self.entries[0], _texts(entry)
        for key, fix in COMPARABLE.items():
            if (one := self._texts[key]) != (other := texts[key]):
                return f"{key}: {one} in {first.run.path}, {other} in {entry.run.path}; {fix}"
        for name, other_version in entry.metric_versions.items():
            version, owner = self._versions.get(name, (other_version, entry))
            if other_version != version:
                return (
                    f"the version of {name}: {version} in {owner.run.path}, {other_version} in {entry.run.path}; "
                    f"it was computed differently; run `genray evaluate` on each run again"
                )
        return None


def refuse_mixtures(entries: Sequence[Entry]) -> None:
    """Raises UserError, naming two runs and their values, where numbers of one table would not mean the same."""
    part = Part(entries[0])
    for entry in entries[1:]:
        if found := part.difference(entry):
            raise UserError(f"the runs differ in {found}; or give them a table each with --mixed")
        part.add(entry)


def apart(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Runs that may share a table together, by a name that says in what they differ from the others."""
    parts: list[Part] = []
    for entry in entries:
        fitting = next((part for part in parts if part.difference(entry) is None), None)
        if fitting is None:
            parts.append(Part(entry))
        else:
            fitting.add(entry)
    return dict(zip(_names([part.entries[0] for part in parts]), [part.entries for part in parts], strict=True))


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


def _texts(entry: Entry) -> dict[str, str]:
    return {key: json.dumps(_value(entry, key), sort_keys=True) for key in COMPARABLE}


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
