"""A sweep whose driver is killed between any two changes of the sweep's folder, without Ray: its runs are played."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from genray import files
from genray.cluster import mirror
from genray.cluster.remote import token
from genray.runs import open_run
from genray.space import Sweep
from genray.storage import Disk
from tests.cluster.test_conductor import TREE, play, trials
from tests.faults import cuts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # it forks on purpose
]

RANDOM = {
    "experiment": {"dataset": "digits", "epochs": 2, "evaluate_every": 1},
    "models": ["vae"],
    "trials": 3,
    "optuna": {"sampler": "random", "seed": 5},
    "finalists": {"seeds": 1},
}
GRID = RANDOM | {"search": {"model.hidden": {"choice": [8, 16, 24]}}, "trials": None, "optuna": {"sampler": "grid"}}


@pytest.mark.parametrize(
    "changes", [pytest.param(RANDOM, id="random"), pytest.param(GRID, id="grid", marks=pytest.mark.nightly)]
)
def test_a_sweep_goes_on_to_the_same_trials(changes: dict[str, Any], tmp_path: Path) -> None:
    sweep = Sweep.parse(TREE | changes)

    def go_on(out: Path) -> None:
        play(sweep, out, resume=(out / "sweep.yaml").exists())

    go_on(tmp_path / "whole")
    whole = trials(tmp_path / "whole")
    for out in cuts(go_on, lambda cut: tmp_path / f"sweep{cut}", at_least=40):
        go_on(out)
        found = trials(out)
        assert [trial.state for trial in found] == [TrialState.COMPLETE] * 3
        assert [trial.params for trial in found] == [trial.params for trial in whole]
        assert [trial.values for trial in found] == [trial.values for trial in whole]
        for run in ("trial_0000", "trial_0001", "trial_0002", "finalist_0"):
            assert open_run(out / "vae" / run).experiment == open_run(tmp_path / "whole" / "vae" / run).experiment


def test_a_sweep_goes_on_where_its_journal_could_not_grow(tmp_path: Path) -> None:
    """By the system's own limit on a file's size: a line of the journal is cut off in its middle."""
    sweep = Sweep.parse(TREE | RANDOM)
    play(sweep, tmp_path / "whole")
    whole, out = trials(tmp_path / "whole"), tmp_path / "out"
    size = (tmp_path / "whole" / "study.journal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in range(1_200, size, 400):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                play(sweep, out, resume=out.exists())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    play(sweep, out, resume=True)
    assert [(trial.state, trial.params, trial.values) for trial in trials(out)] == [
        (trial.state, trial.params, trial.values) for trial in whole
    ]


class DiskAsBucket(Disk):
    url = "disk"


def test_what_the_driver_knew_last_is_not_lost(tmp_path: Path) -> None:
    """Its journal, of which the bucket has the first part, is fetched over by nothing that is older."""
    bucket = DiskAsBucket(tmp_path / "bucket")
    bucket.write("out/sweep.yaml", b"name: mine\n")
    bucket.write("out/study.journal", b"1\n2\n")

    def knows_more(cut: int) -> Path:
        files.write_text((out := tmp_path / str(cut) / "out") / "study.journal", "1\n2\n3\n")
        return out

    for out in cuts(lambda out: mirror.fetch(out, bucket), knows_more, at_least=4):
        assert (out / "study.journal").read_text() == "1\n2\n3\n"


def test_a_token_that_was_half_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)

    def make(folder: Path) -> None:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(folder / "auth_token"))
        token.make()
        assert len(token.read()) == 64
        assert token.path().stat().st_mode & 0o777 == 0o600

    for folder in cuts(make, lambda cut: tmp_path / f"token{cut}", at_least=3):
        make(folder)
