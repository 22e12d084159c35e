"""A sweep's folder whose files were damaged."""

from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from optuna.storages.journal import JournalFileBackend

from genray.cluster import folder
from genray.errors import UserError
from genray.space import Sweep
from tests.test_fuzz import assert_takes_or_refuses, edited

SPACE = Sweep.parse({"models": ["vae"], "search": {"model.hidden": {"choice": [16, 32]}}, "trials": 2})


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("study") / "study.journal"
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="vae", storage=storage)
    study.optimize(lambda trial: float(trial.suggest_categorical("model.hidden", (16, 32))), n_trials=2)
    return path.read_bytes()


def studies(out: Path) -> list[str]:
    with folder.opened(out, SPACE) as storage:
        return optuna.get_all_study_names(storage)


def test_a_journal_that_is_whole_opens_and_a_half_line_at_its_end_is_dropped(tmp_path: Path, journal: bytes) -> None:
    (tmp_path / "study.journal").write_bytes(journal + b'{"op_code":5,"worker')
    assert studies(tmp_path) == ["vae"]
    assert (tmp_path / "study.journal").read_bytes() == journal


def test_a_journal_with_a_damaged_line_is_named_and_left_as_it_is(tmp_path: Path, journal: bytes) -> None:
    lines = journal.split(b"\n")
    lines[2] = lines[2][:20]
    (tmp_path / "study.journal").write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=r"study.journal is damaged \(JSONDecodeError.*; put a whole copy"):
        studies(tmp_path)
    assert (tmp_path / "study.journal").read_bytes() == b"\n".join(lines)


def test_any_journal_opens_or_is_refused_in_a_line(tmp_path: Path, journal: bytes) -> None:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
    @given(edited([journal]))
    def try_one(content: bytes) -> None:
        (tmp_path / "study.journal").write_bytes(content)
        assert_takes_or_refuses(lambda: studies(tmp_path))

    try_one()
