"""What controls say of a comparison: whether its metrics place them right, and which rows are no better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genray.errors import Fault, UserError
from genray.intervals import best_first, beyond
from genray.report import words
from genray.report.collect import Collection
from genray.report.comparison import known_scores

Row = Mapping[str, Any]


def wanted(collections: Iterable[Collection]) -> bool:
    """Whether no sweep says `controls: false`."""
    return all(sweep.settings.get("controls", True) for collection in collections for sweep in collection.sweeps)


def beside(comparison: Row, collection: Collection, *, required: bool) -> dict[str, Any]:
    """The comparison with its control rows, and with what they say among its notes. Raises UserError where there can be
    none and they are `required`; otherwise a note says why."""
    rows, notes = _rows(collection, required=required)
    if rows:
        notes = misplaced(rows, comparison["floor"]) + not_better(comparison["rows"], rows, comparison["primary"])
    return {**comparison, "controls": rows, "notes": comparison["notes"] + notes}


def _rows(collection: Collection, *, required: bool) -> tuple[list[dict[str, Any]], list[str]]:
    from genray.controls.rows import control_rows  # imports torch, which a page does without

    entries = [entry for entry in collection.entries if not entry.result.get("samples_given")] or collection.entries
    names = dict.fromkeys(name for entry in collection.entries for name in entry.run.experiment.metrics)
    try:
        return control_rows(entries[0].run.experiment, entries[0].result, list(names)), []
    except (UserError, Fault) as error:
        if required:
            raise
        return [], [f"There are no control rows: {error}."]


def misplaced(controls: Sequence[Row], floor: Mapping[str, Any]) -> list[str]:
    """What a metric gets wrong: one that has a better end must put nothing above training images that are replayed, and
    what is not trained above nothing; one that gives alarm must do so of the replayed images alone."""
    by_name = {row["control"]: row for row in controls}
    first, last = by_name["memorizer"], by_name["untrained"]
    found = []
    for name, score in known_scores().items():
        having = [row for row in controls if name in row["metrics"]]
        if score.judges == "samples" and score.better != "none":
            wrong = [(row, first) for row in having] + [(last, row) for row in having]
            found += [
                f"{name} places {above['control']} above {below['control']} by more than their intervals: "
                f"do not conclude from it here."
                for above, below in wrong
                if name in above["metrics"] and name in below["metrics"]
                if beyond(above["metrics"][name], below["metrics"][name], score.better)
            ]
        if score.alarm and name in floor:
            found += [
                f"{name} {'alarms of' if alarm else 'does not catch'} {row['control']}: do not conclude from it here."
                for row in having
                if (alarm := alarms(row, name, floor)) is not (row is first)
            ]
    return found


def alarms(row: Row, name: str, floor: Mapping[str, Any]) -> bool:
    """Whether a row lies above real images in a score that gives alarm, and in all that it needs for that."""
    keys = (name, *known_scores()[name].alarm_with)
    return all(
        key in row["metrics"] and key in floor and beyond(row["metrics"][key], floor[key], "higher") for key in keys
    )


def not_better(rows: Sequence[Row], controls: Sequence[Row], metric: str) -> list[str]:
    """Rows that a density of pixels without a network equals in a score of samples."""
    score = known_scores().get(metric)
    if score is None or score.judges != "samples" or score.better == "none":
        return []
    densities = [row for row in controls if row["control"] != "memorizer"]
    for control in best_first(densities, metric, score.better)[:1]:
        estimate = control["metrics"][metric]
        labels = [
            row["label"]
            for row in rows
            if metric in row["metrics"] and not beyond(row["metrics"][metric], estimate, score.better)
        ]
        if labels:
            return [
                f"{', '.join(labels)}: {words.title(metric)} is no better than that of {control['about']} by more than "
                f"the intervals allow."
            ]
    return []
