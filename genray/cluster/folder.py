"""The folder of a sweep: the truth that a resumed sweep starts from. One process at a time works in it.

sweep.yaml             what was asked for, the version of the folder and the sweep's id (genray/schema.py)
study.journal          Optuna's studies, one a model
<model>/trial_0007/    runs of the search
<model>/finalist_0/    runs of the best configuration, scored on the test split
<model>/replaced/      what is no longer a run of the sweep: finalists that more trials have beaten since, and such
comparison/            what came of it
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import JournalStorage

from genray import files, journal, schema
from genray.errors import UserError
from genray.overrides import flatten
from genray.space import Sweep

JOURNAL = "study.journal"
_EXTENDABLE = {"trials", "models", "controls", "lanes", "max_failures", "trial_timeout_s", "start_timeout_s"}


@contextlib.contextmanager
def opened(out: Path, sweep: Sweep) -> Iterator[JournalStorage]:
    """The studies' storage, while this process alone works in the folder, which `check` has allowed."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with files.locked(out, "sweep"):
            id_ = schema.id_of(out) if (out / "sweep.yaml").exists() else schema.new_id()
            files.write_text(out / "sweep.yaml", schema.stamped(sweep.to_yaml(), id_=id_))
            journal.drop_half_line(out / JOURNAL)
            yield journal.opened(out / JOURNAL, sweep.models)
    except (PermissionError, NotADirectoryError) as error:
        raise UserError(f"cannot write the sweep to {out}: {error.strerror}; give another folder with --out") from None


def check(out: Path, sweep: Sweep, *, resume: bool) -> None:
    """Whether the sweep may work in this folder; changes nothing. Raises UserError."""
    files.refuse_locked(out, "sweep")
    _check_place(out, resume)
    files.require_writable(out, "the sweep")
    if (out / "sweep.yaml").exists():
        _check_extension(Sweep.load(out / "sweep.yaml"), sweep, out)
    if (out / JOURNAL).exists():
        journal.opened(out / JOURNAL, sweep.models)


def lost_end(out: Path, sweep: Sweep, storage: JournalStorage) -> str:
    """What is to be told of trials that have a folder and that the journal does not know; empty for none."""
    known = {
        study.study_name: study.n_trials for study in optuna.get_all_study_summaries(storage, include_best_trial=False)
    }
    lost = [
        f"{model}/{name}"
        for model in sweep.models
        for name in journal.unknown_trials(journal.trial_folders(out / model), known.get(model, 0))
    ]
    if not lost:
        return ""
    return (
        f"{JOURNAL} does not know {', '.join(lost[:3])}{' …' if len(lost) > 3 else ''}: lines at its end are missing; "
        f"these trials are drawn again, and what they have is kept under replaced/ where they come out otherwise; to "
        f"keep them, end the sweep and put a whole copy of the journal in its place"
    )


def free_name(folder: Path, run: str) -> str:
    """Under replaced/ of a model's folder, for what a run held."""
    return next(name for k in itertools.count() if not (folder / (name := f"replaced/{run}_{k}")).exists())


def _check_place(out: Path, resume: bool) -> None:
    if (out / "sweep.yaml").exists():
        if not resume:
            raise UserError(
                f"{out} holds a sweep already; go on with it by --resume, or give another folder with --out"
            )
    elif not files.holds_nothing(out, "sweep.yaml"):
        raise UserError(f"{out} is there and is not a sweep; give another folder with --out")
    elif resume:
        raise UserError(f"{out} holds no sweep to go on with; leave out --resume, or give its folder with --out")


def _check_extension(old: Sweep, new: Sweep, out: Path) -> None:
    """More trials, more models, other lanes; nothing else may differ from what the finished trials were run with."""
    before, after = flatten(_rest(old, old.models)), flatten(_rest(new, old.models))
    keys = (before.keys() | after.keys()) - {"finalists.pack"}  # which changes no result
    changed = sorted(key for key in keys if before.get(key) != after.get(key))
    if changed:
        raise UserError(
            f"{out} holds a sweep that differs in {', '.join(changed)}; --resume takes more trials and models only, "
            f"so give the same values, or another folder with --out"
        )
    if missing := [model for model in old.models if model not in new.models]:
        raise UserError(f"models: {out} holds trials of {', '.join(missing)} too; name them as well")
    if new.num_trials < old.num_trials:
        raise UserError(
            f"trials must be >= what the sweep had, got {new.num_trials}, {out} has {old.num_trials}; "
            f"give --trials {old.num_trials} or more"
        )


def _rest(sweep: Sweep, models: tuple[str, ...]) -> dict[str, object]:
    plain = {key: value for key, value in sweep.plain().items() if key not in _EXTENDABLE}
    plain["model_search"] = {model: space for model, space in plain["model_search"].items() if model in models}
    return plain
