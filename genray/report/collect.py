"""Reads what a comparison is made of: run folders and sweep folders. Nothing else is looked at, nothing is trained."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genray import files
from genray.config import flatten
from genray.errors import UserError
from genray.report.search import Search, read_searches
from genray.runs import Run, open_run

# Keys in which two runs may differ and still be the same experiment with another seed, or on another machine. The
# sampler is told by the result, as a run may have been scored by several.
NOT_CONFIGURATION = {"seed", "resources", "checkpoint_every", "sampled_from"}

# What must be equal in every run, and what to do where it is not.
COMPARABLE = {
    "dataset": "scores on different datasets do not compare; compare them apart",
    "split": "scores on different splits do not compare; run `genray evaluate` on each run",
    "fingerprint": "the images differ although the name is the same; evaluate all runs on one copy of the dataset",
    "extractor": "distances in different features do not compare; run `genray evaluate` on each run again",
    "num_samples": "scores depend on the number of samples; evaluate each run with the same num_samples",
}

REQUIRED = ("experiment", "split", "sampled_from", "num_samples", "metrics", "num_parameters", "train_seconds")


@dataclass(frozen=True)
class Entry:
    """A run that was evaluated on the test split, by one of its samplers."""

    run: Run
    result: dict[str, Any]
    first: bool = True  # of the run's samplers, whose samples lie in samples.png

    @property
    def sampled_from(self) -> str:
        return str(self.result["sampled_from"])

    @property
    def seed(self) -> int:
        return self.run.experiment.seed

    @cached_property
    def config(self) -> dict[str, Any]:
        return {k: v for k, v in self.run.experiment.plain().items() if k not in NOT_CONFIGURATION}

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """Rows of metrics.jsonl, where the sampler that was scored while training is this one."""
        return self.run.history if self.result.get("validation_sampled_from", "prior") == self.sampled_from else []

    @property
    def samples_path(self) -> Path:
        return self.run.picture_path("samples" if self.first else f"samples_{self.sampled_from}")

    @property
    def metrics(self) -> dict[str, float]:
        """Those that are numbers."""
        return {k: float(v) for k, v in self.result["metrics"].items() if v is not None and math.isfinite(v)}


@dataclass(frozen=True)
class Group:
    """One row of the comparison: the runs of one configuration, which differ in their seeds."""

    label: str  # unique in the comparison: the model's name, and what tells it from others of the same name
    label_of_runs: str  # the same without the sampler, of which several may have drawn from these runs
    model: str
    sampled_from: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class SweepFolder:
    path: Path
    settings: dict[str, Any]  # sweep.yaml
    searches: dict[str, Search]  # by model


@dataclass(frozen=True)
class Collection:
    groups: tuple[Group, ...]
    sweeps: tuple[SweepFolder, ...]
    missing: dict[str, str]  # models of the sweeps without any result → why
    notes: tuple[str, ...]  # what a reader must know before he believes the table

    @property
    def entries(self) -> list[Entry]:
        return [entry for group in self.groups for entry in group.entries]


def collect(paths: Sequence[Path]) -> Collection:
    """Reads sweep folders and run folders. Raises UserError for what is neither, and for runs that do not compare."""
    if not paths:
        raise UserError("nothing to compare; give a sweep's folder or the folders of evaluated runs")
    entries: dict[tuple[Path, str], Entry] = {}
    sweeps, missing, notes = [], dict[str, str](), list[str]()
    for path in dict.fromkeys(Path(p).absolute() for p in paths):
        if (path / "sweep.yaml").is_file():
            sweep, found = _read_sweep(path, notes)
            sweeps.append(sweep)
        else:
            found = _read_run(path)
        entries |= {(entry.run.path.resolve(), entry.sampled_from): entry for entry in found}
    if not entries:
        reasons = "; ".join(f"{m}: {why}" for s in sweeps for m, why in _without_result(s, ()).items())
        raise UserError(f"no run here was evaluated yet ({reasons}); finish the sweep with `genray sweep --resume`")
    refuse_mixtures(entries.values())
    groups = group(entries.values())
    for sweep in sweeps:
        missing |= _without_result(sweep, [g.model for g in groups])
    return Collection(tuple(groups), tuple(sweeps), missing, tuple(notes))


def _read_run(path: Path) -> list[Entry]:
    """An evaluated run, once for each of its samplers. Says which command mends it where it is not one."""
    if path.is_dir() and not (path / "experiment.yaml").is_file():
        inside = sorted(child.parent.name for child in path.glob("*/experiment.yaml"))
        if inside:
            raise UserError(
                f"{path} is not a run, but holds some; give {', '.join(str(path / name) for name in inside[:3])} …"
            )
    run = open_run(path)
    result = run.result
    if result is None:
        raise UserError(f"{path} was not evaluated: it holds no result.json; run `genray evaluate {path}`")
    if lacking := [key for key in REQUIRED if not isinstance(result, dict) or key not in result]:
        raise UserError(f"{run.result_path} is half-written: it lacks {lacking[0]!r}; run `genray evaluate {path}`")
    return [Entry(run, result), *(Entry(run, result | other, first=False) for other in result.get("also", []))]


def _read_sweep(path: Path, notes: list[str]) -> tuple[SweepFolder, list[Entry]]:
    """A sweep with its finalists. One that has no result is left out of the table, and `notes` says so."""
    settings = files.read_yaml(path / "sweep.yaml")
    sweep = SweepFolder(path, settings, read_searches(path, settings))
    entries: list[Entry] = []
    for model in settings.get("models", []):
        for folder in sorted((path / model).glob("finalist_*"), key=lambda p: (len(p.name), p.name)):
            if (folder / "result.json").is_file():
                entries += _read_run(folder)
            elif folder.is_dir():
                notes.append(_lost_finalist(sweep, model, folder.name))
    return sweep, entries


def _lost_finalist(sweep: SweepFolder, model: str, name: str) -> str:
    noted = sweep.searches[model].attributes.get("failed_finalists", {}) if model in sweep.searches else {}
    reason = f": {noted[name]}" if name in noted else ""
    return f"{model}: {name} has no result{reason}. The seeds in the table are those that ended well."


def _without_result(sweep: SweepFolder, models: Iterable[str]) -> dict[str, str]:
    """The sweep's models that are not among `models`, and what is known of why."""
    reasons = {}
    for model in sweep.settings.get("models", []):
        if model in models:
            continue
        search = sweep.searches.get(model)
        if search is None or not search.trials:
            reasons[model] = "no trial was started"
        elif search.best is None:
            reasons[model] = (
                search.attributes.get("no_finalists") or f"no trial completed: {search.failure or 'none failed'}"
            )
        else:
            reasons[model] = "its finalists were not evaluated"
    return reasons


def refuse_mixtures(entries: Iterable[Entry]) -> None:
    """Raises UserError, naming two runs and their values, where numbers of one table would not mean the same."""
    for key, fix in COMPARABLE.items():
        seen: dict[str, Entry] = {}
        for entry in entries:
            value = _comparable(entry, key)
            seen.setdefault(json.dumps(value, sort_keys=True), entry)
        if len(seen) > 1:
            (a, first), (b, second) = list(seen.items())[:2]
            raise UserError(f"the runs differ in {key}: {a} in {first.run.path}, {b} in {second.run.path}; {fix}")


def _comparable(entry: Entry, key: str) -> Any:
    if key == "dataset":
        return entry.run.experiment.dataset
    value = entry.result.get(key)
    return f"{value.get('name')} {value.get('hash')}" if key == "extractor" and isinstance(value, dict) else value


def group(entries: Iterable[Entry]) -> list[Group]:
    """Runs of the same model, sampler and configuration become one row, in order of label."""
    by_key: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        key = (entry.run.experiment.model.name, entry.sampled_from, json.dumps(entry.config, sort_keys=True))
        by_key[key].append(entry)
    for same in by_key.values():
        _refuse_repetition(same)
    labels = _labels([(model, sampler, found[0].config) for (model, sampler, _), found in by_key.items()])
    groups = [
        Group(*label, model, sampler, tuple(sorted(found, key=lambda entry: entry.seed)))
        for label, ((model, sampler, _), found) in zip(labels, by_key.items(), strict=True)
    ]
    return sorted(groups, key=lambda g: g.label)


def _refuse_repetition(entries: Sequence[Entry]) -> None:
    seen: dict[int, Entry] = {}
    for entry in entries:
        if (other := seen.setdefault(entry.seed, entry)) is not entry:
            raise UserError(
                f"{other.run.path} and {entry.run.path} are the same experiment with the same seed {entry.seed}: "
                f"to count it twice would narrow the interval; give one of them"
            )


def _labels(rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """`vae`; with the sampler where that differs within a model, and with the keys in which configurations differ. The
    second of each pair is the same without the sampler."""
    labels = []
    for model, sampler, config in rows:
        alike = [(other_sampler, flatten(other)) for other_model, other_sampler, other in rows if other_model == model]
        flat = flatten(config)
        several = any(other_sampler != sampler for other_sampler, _ in alike)
        keys = {key for _, other in alike for key in flat.keys() | other.keys() if flat.get(key) != other.get(key)}
        parts = [f"{key.removeprefix('model.')}={flat.get(key)}" for key in sorted(keys)]
        labels.append((_labelled(model, [f"from {sampler}"] * several + parts), _labelled(model, parts)))
    return labels


def _labelled(model: str, parts: Sequence[str]) -> str:
    return f"{model} ({', '.join(parts)})" if parts else model
