"""The comparison as data: what comparison.json holds, and what every table, sentence and page is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import Any, get_args

from optuna.trial import TrialState

from genray import metrics
from genray.intervals import best_first, beyond, summarize
from genray.metrics.base import Score, ScoreGroup
from genray.report import luck
from genray.report.collect import Collection, Group, SweepFolder
from genray.report.entry import Entry
from genray.report.search import Search

Comparison = dict[str, Any]


def build(collection: Collection) -> Comparison:
    """The contract's keys (`rows`, `floor`, `budget`, …), best row first, and `notes` on what weakens a conclusion."""
    entries = collection.entries
    first = entries[0].result
    notes = list(collection.notes)
    rows = [_row(g, _searches(collection, g), notes) for g in collection.groups]
    floor = _floor(entries)
    primary = _primary(collection, rows)
    ordered = best_first(rows, primary, better(primary))
    ordered += [row for row in rows if row not in ordered]
    comparison: Comparison = {
        "dataset": entries[0].run.experiment.dataset,
        "fingerprint": first.get("fingerprint"),
        "split": first["split"],
        "primary": primary,
        "num_samples": first["num_samples"],
        "versions": _versions(entries),
        "commit": agreed(entry.result.get("commit") for entry in entries),
        "device": agreed(entry.result.get("device") for entry in entries),
        "budget": _budget(collection),
        "extractor": first.get("extractor"),
        "floor": floor,
        "rows": ordered,
        "controls": [],  # rows that are no models: genray/report/controls.py
        "expected_best": [found for sweep in collection.sweeps for found in expected_best(sweep)],
        "without_result": collection.missing,
    }
    notes += _given(comparison) + _read_again(comparison) + _differences(comparison) + _below_floor(comparison)
    return comparison | {"notes": notes}


def joined(parts: Mapping[str, Comparison]) -> Comparison:
    """What comparison.json holds: the only one, or several under `parts`."""
    return next(iter(parts.values())) if len(parts) == 1 else {"parts": dict(parts)}


def parts_of(comparison: Mapping[str, Any]) -> Mapping[str, Comparison]:
    """The comparisons of runs that may share a table, by name; "" for the only one. The inverse of `joined`."""
    parts: Mapping[str, Comparison] = comparison.get("parts") or {"": dict(comparison)}
    return parts


def better(metric: str) -> str:
    """`lower`, `higher` or another word, for a metric that has no better end or is not known here."""
    score = known_scores().get(metric)
    return score.better if score else "none"


@cache
def known_scores() -> dict[str, Score]:
    """`metrics.scores()`, which looks through a folder, once a process."""
    return metrics.scores()


def metric_names(comparison: Mapping[str, Any]) -> list[str]:
    """What is compared: the primary one, those of all rows, those of some; at last those without a better end."""
    errors = {name for name, score in known_scores().items() if score.error_of}
    counts = Counter(name for row in comparison["rows"] for name in row["metrics"] if name not in errors)
    known = list(known_scores())

    def rank(name: str) -> tuple[Any, ...]:
        in_all, place = counts[name] == len(comparison["rows"]), known.index(name) if name in known else len(known)
        return name != comparison["primary"], better(name) == "none", not in_all, place, name

    return sorted(counts, key=rank)


def grouped(comparison: Mapping[str, Any]) -> dict[ScoreGroup, list[str]]:
    """The same under their groups, in the order of ScoreGroup; a score not known here judges fidelity."""
    known = known_scores()
    groups: dict[ScoreGroup, list[str]] = {group: [] for group in get_args(ScoreGroup)}
    for name in metric_names(comparison):
        groups[known[name].group if name in known else "fidelity"].append(name)
    return {group: names for group, names in groups.items() if names}


def agreed(values: Iterable[Any]) -> Any:
    """The value on which all agree; where they do not, all values as one text; None where there is none."""
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    if len(distinct) <= 1:
        return distinct[0] if distinct else None
    return ", ".join(sorted(map(str, distinct)))


def _row(group: Group, searches: Sequence[Search], notes: list[str]) -> dict[str, Any]:
    entries = group.entries
    trials = [trial for search in searches for trial in search.trials]
    return {
        "label": group.label,
        "model": group.model,
        "sampled_from": group.sampled_from,
        "samples_given": entries[0].result.get("samples_given", ""),
        "seeds": [entry.seed for entry in entries],
        "trials": len(trials) if searches else None,
        "pruned_trials": sum(trial.state is TrialState.PRUNED for trial in trials) if searches else None,
        "failed_trials": sum(trial.state is TrialState.FAIL for trial in trials) if searches else None,
        "num_parameters": entries[0].result["num_parameters"],
        "train_seconds": fmean(entry.result["train_seconds"] for entry in entries),
        "test_reads": [entry.result.get("test_reads") for entry in entries],
        "config": entries[0].config,
        "metrics": _metrics(group, notes),
        "failed": _without(group, "failed", group.label, notes),
        "left_out": _without(group, "left_out", group.label_of_runs, notes),
        "runs": [str(entry.run.path) for entry in entries],
    }


def _metrics(group: Group, notes: list[str]) -> dict[str, Any]:
    """Of the metrics that every run has: a mean over those runs that happen to have it would be another thing."""
    names = dict.fromkeys(name for entry in group.entries for name in entry.result["metrics"])
    summaries = {}
    for name in names:
        values = [entry.metrics[name] for entry in group.entries if name in entry.metrics]
        if len(values) == len(group.entries):
            summaries[name] = summarize(values)
        else:
            notes.append(
                f"{group.label}: {name} is a number in {len(values)} of {len(group.entries)} runs and is left out."
            )
    return summaries


def _without(group: Group, kind: str, label: str, notes: list[str]) -> dict[str, str]:
    """What `failed` in some run, or was `left_out`, each with its reason there."""
    reasons: dict[str, str] = {}
    for entry in group.entries:
        reasons = (entry.result.get(kind) or {}) | reasons
    for reason in dict.fromkeys(reasons.values()):
        names = ", ".join(name for name, why in reasons.items() if why == reason)
        note = f"{label}: {names} {kind.replace('_', ' ')}: {reason}."
        notes += [] if note in notes else [note]  # that of a run is that of each of its samplers
    return reasons


def _searches(collection: Collection, group: Group) -> list[Search]:
    """That the group's runs came of."""
    runs = {entry.run.path.resolve() for entry in group.entries}
    return [
        sweep.searches[group.model]
        for sweep in collection.sweeps
        if group.model in sweep.searches and any(run.is_relative_to(sweep.path.resolve()) for run in runs)
    ]


def _primary(collection: Collection, rows: Sequence[Mapping[str, Any]]) -> str:
    """The metric that the sweep searched for; else the Fréchet distance; else the first that there is."""
    present = [name for row in rows for name in row["metrics"]]
    searched = [o.metric for s in collection.sweeps for search in s.searches.values() for o in search.objectives]
    wanted = [name for name in (*searched, "frechet", *present) if name in present]
    return wanted[0] if wanted else "frechet"


def _floor(entries: Sequence[Entry]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for entry in entries:
        merged = (entry.result.get("floor") or {}) | merged
    return merged


def _versions(entries: Sequence[Entry]) -> dict[str, Any]:
    names = dict.fromkeys(name for entry in entries for name in entry.result.get("versions") or {})
    return {name: agreed((entry.result.get("versions") or {}).get(name) for entry in entries) for name in names}


def _budget(collection: Collection) -> dict[str, Any]:
    """What each model was given, and what was spent over all. `None` where runs came without a sweep."""
    settings = [sweep.settings for sweep in collection.sweeps]
    searches = [search for sweep in collection.sweeps for search in sweep.searches.values()]
    entries = collection.entries
    return {
        "trials": agreed(s.get("trials") for s in settings),
        "equal": entries[0].run.experiment.limit.text,  # of every run: genray/report/comparable.py sees to it
        "epochs": agreed(entry.run.experiment.epochs for entry in entries),
        "seeds": agreed(len(group.entries) for group in collection.groups),
        "sampler": agreed((s.get("optuna") or {}).get("sampler") for s in settings),
        "scheduler": agreed(_scheduler(s) for s in settings),
        "search_seconds": round(sum(s.seconds for s in searches), 3) if searches else None,
        "train_seconds": round(sum(entry.result["train_seconds"] for entry in entries if entry.first), 3),
    }


def expected_best(sweep: SweepFolder) -> list[dict[str, Any]]:
    """For each of its searches the expected best of k of its trials on the validation split, k = 1, 2, …"""
    return [
        {"sweep": sweep.settings.get("name"), "model": model, "metric": o.metric, "mode": o.mode, "values": values}
        for model, search in sweep.searches.items()
        for o, values in [(search.objectives[0], luck.of_search(search))]
        if values
    ]


def _scheduler(settings: Mapping[str, Any]) -> str:
    """`asha (grace_epochs 5, reduction 3)`"""
    options = {name: value for name, value in (settings.get("scheduler") or {}).items() if value is not None}
    return "; ".join(f"{name} ({', '.join(f'{k} {v}' for k, v in o.items())})" for name, o in options.items()) or "none"


def _given(comparison: Mapping[str, Any]) -> list[str]:
    """Rows whose samples begin with something real, which is an easier task than the others'."""
    return [
        f"{row['label']}: its samples are given {row['samples_given']}, and hold real pixels; their scores "
        f"do not compare with those of images that are drawn whole."
        for row in comparison["rows"]
        if row["samples_given"]
    ]


def _read_again(comparison: Mapping[str, Any]) -> list[str]:
    """Rows whose runs were scored on the test split more than once: whoever does so may have chosen by it."""
    times = {row["label"]: max((reads or 0 for reads in row["test_reads"]), default=0) for row in comparison["rows"]}
    return [
        f"{label}: a run of it was scored on the {comparison['split']} split {reads} times; what is chosen by such a "
        f"score is too good on it."
        for label, reads in times.items()
        if reads > 1
    ]


def _differences(comparison: Mapping[str, Any]) -> list[str]:
    """Trials and seeds that were not the same for all, versions that were mixed."""
    notes, rows = [], comparison["rows"]
    if isinstance(seeds := comparison["budget"]["seeds"], str):
        notes.append(f"The rows were run with different numbers of seeds ({seeds}).")
    if len({row["trials"] for row in rows}) > 1:
        counts = ", ".join(f"{row['label']}: {_or_none(row['trials'])}" for row in rows)
        notes.append(f"The rows were searched with different numbers of trials ({counts}).")
    mixed = [name for name, value in comparison["versions"].items() if ", " in str(value)]
    if ", " in str(comparison["commit"]):
        mixed.append("commit")
    if mixed:
        notes.append(f"The runs were made with different versions ({', '.join(mixed)}).")
    if single := [row["label"] for row in rows if len(row["seeds"]) < 2]:
        notes.append(f"One seed only, so no interval: {', '.join(single)}.")
    notes += [f"{model} has no row: {reason}." for model, reason in comparison["without_result"].items()]
    return notes


def _or_none(value: Any) -> str:
    return "none" if value is None else str(value)


def _below_floor(comparison: Mapping[str, Any]) -> list[str]:
    """Scores that are better than real images get, or that give alarm above those. A distance between distributions
    cannot honestly be better."""
    notes = []
    for name in comparison["floor"]:
        score = known_scores().get(name)
        alarm, others = (score.alarm, score.alarm_with) if score else ("", ())
        direction = "higher" if alarm else better(name)
        labels = [
            row["label"]
            for row in comparison["rows"]
            if all(_is_beyond(row, key, comparison["floor"], direction) for key in (name, *others))
        ]
        if labels and alarm:
            notes.append(
                f"{', '.join(labels)}: {name} lies above that of real images by more than its interval; {alarm}."
            )
        elif labels and direction == "lower":
            why = "such a model has memorized training images, or the metric is wrong"
            notes.append(
                f"{', '.join(labels)}: {name} lies below the floor of real images by more than its interval; {why}."
            )
        elif labels:
            why = "samples that keep to where images are densest can do that; look at recall and coverage beside it"
            notes.append(
                f"{', '.join(labels)}: {name} lies above that of real images by more than its interval; {why}."
            )
    return notes


def _is_beyond(row: Mapping[str, Any], name: str, floor: Mapping[str, Any], direction: str) -> bool:
    return name in row["metrics"] and name in floor and beyond(row["metrics"][name], floor[name], direction)
