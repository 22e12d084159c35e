"""Reads what a comparison is made of: run folders and sweep folders. Nothing else is looked at, nothing is trained."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genray import journal
from genray.errors import UserError
from genray.overrides import flatten
from genray.report.comparable import apart, refuse_mixtures
from genray.report.entry import Entry
from genray.report.search import Search, read_searches
from genray.result import refuse_damaged
from genray.runs import open_run
from genray.space import Sweep


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


@dataclass(frozen=True)
class Source:
    """One of the folders that were given."""

    sweep: SweepFolder | None  # None for a run's
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def collect_by_dataset(paths: Sequence[Path]) -> dict[str, Collection]:
    """Reads sweep folders and run folders: a collection for each dataset, by its name; for a single one the name is "".
    Raises UserError for what is neither, and for runs that do not compare."""
    sources = _read(paths)
    parts: dict[str, list[Entry]] = defaultdict(list)
    for entry in _once(sources):
        parts[entry.run.experiment.dataset].append(entry)
    for entries in parts.values():
        refuse_mixtures(entries)
    if len(parts) == 1:
        return {"": _collection(next(iter(parts.values())), sources)}
    return _by_part(parts, sources)


def collect_apart(paths: Sequence[Path]) -> dict[str, Collection]:
    """The same, with a collection for each set of runs that compare, by what tells it from the others."""
    sources = _read(paths)
    return _by_part(apart(_once(sources)), sources)


def _by_part(parts: Mapping[str, Sequence[Entry]], sources: Sequence[Source]) -> dict[str, Collection]:
    owner = {id(source): _part_of(source, parts) for source in sources}
    return {name: _collection(entries, [s for s in sources if name in owner[id(s)]]) for name, entries in parts.items()}


def _part_of(source: Source, parts: Mapping[str, Sequence[Entry]]) -> list[str]:
    """The parts that a source has runs in; a sweep without any result belongs to the first, where it is missed."""
    places = {entry.run.path.resolve() for entry in source.entries}
    found = [name for name, entries in parts.items() if any(e.run.path.resolve() in places for e in entries)]
    return found or list(parts)[:1]


def _read(paths: Sequence[Path]) -> list[Source]:
    if not paths:
        raise UserError("nothing to compare; give a sweep's folder or the folders of evaluated runs")
    distinct = dict.fromkeys(Path(p).absolute() for p in paths)
    return [
        _read_sweep(path) if (path / "sweep.yaml").is_file() else Source(None, tuple(_read_run(path)))
        for path in distinct
    ]


def _once(sources: Sequence[Source]) -> list[Entry]:
    """Every run once, however many times it was given."""
    entries = {(e.run.path.resolve(), e.sampled_from): e for source in sources for e in source.entries}
    if not entries:
        sweeps = [source.sweep for source in sources if source.sweep]
        reasons = "; ".join(f"{m}: {why}" for s in sweeps for m, why in _without_result(s, ()).items())
        space, folder = (shlex.quote(str(path)) for path in (sweeps[0].path / "sweep.yaml", sweeps[0].path))
        fix = f"finish the sweep with `genray sweep {space} --out {folder} --resume`"
        raise UserError(f"no run here was evaluated yet ({reasons}); {fix}")
    return list(entries.values())


def _collection(entries: Sequence[Entry], sources: Sequence[Source]) -> Collection:
    groups = group(entries)
    sweeps = [source.sweep for source in sources if source.sweep]
    with_result = {entry.run.experiment.model.name for source in sources for entry in source.entries}
    missing = dict[str, str]()
    for sweep in sweeps:
        missing |= _without_result(sweep, with_result)
    notes = [note for source in sources for note in source.notes]
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
        raise UserError(
            f"{path} was not evaluated: it holds no result.json; run `genray evaluate {shlex.quote(str(path))}`"
        )
    refuse_damaged(run, result)
    return [Entry(run, result), *(Entry(run, result | other, first=False) for other in result.get("also", []))]


def _read_sweep(path: Path) -> Source:
    """A sweep with its finalists. One that has no result is left out of the table, and the notes say so."""
    settings = Sweep.load(path / "sweep.yaml").plain()
    models = settings.get("models", [])
    trials = {model: journal.trial_folders(path / model) for model in models}  # before the journal, which may grow
    sweep = SweepFolder(path, settings, read_searches(path, settings))
    entries, notes = list[Entry](), list[str]()
    for model in models:
        for folder in sorted((path / model).glob("finalist_*"), key=lambda p: (len(p.name), p.name)):
            if (folder / "result.json").is_file():
                entries += _read_run(folder)
            elif folder.is_dir():
                notes.append(_lost_finalist(sweep, model, folder.name))
        search = sweep.searches.get(model)
        if search and (unknown := journal.unknown_trials(trials[model], len(search.trials))):
            notes.append(
                f"{model}: study.journal does not know {', '.join(unknown[:3])}{' …' if len(unknown) > 3 else ''}: "
                f"lines at its end are missing, and more trials were searched than are counted here."
            )
        if earlier := len([*(path / model / "replaced").glob("*/result.json")]):
            notes.append(
                f"{model}: finalists of fewer trials, {earlier} in number, had been scored on the test split before; "
                f"what is shown was chosen by validation scores alone."
            )
    return Source(sweep, tuple(entries), tuple(notes))


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
    flat = [flatten(config) for _, _, config in rows]
    samplers, alike = defaultdict[str, set[str]](set), defaultdict[str, list[dict[str, Any]]](list)
    for (model, sampler, _), own in zip(rows, flat, strict=True):
        samplers[model].add(sampler)
        alike[model].append(own)
    keys = {model: _differing(configs) for model, configs in alike.items()}
    labels = []
    for (model, sampler, _), own in zip(rows, flat, strict=True):
        several = len(samplers[model]) > 1
        parts = [f"{key.removeprefix('model.')}={own.get(key)}" for key in keys[model]]
        labels.append((_labelled(model, [f"from {sampler}"] * several + parts), _labelled(model, parts)))
    return labels


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that are not the same in all."""
    first = configs[0]
    return sorted({k for other in configs for k in first.keys() | other.keys() if first.get(k) != other.get(k)})


def _labelled(model: str, parts: Sequence[str]) -> str:
    return f"{model} ({', '.join(parts)})" if parts else model
