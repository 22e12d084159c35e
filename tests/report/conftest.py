from pathlib import Path

import optuna
import pytest

from tests.report.fabricate import write_sweep


@pytest.fixture(scope="session", autouse=True)
def _quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four models, eight trials each, five finalists each. Shared: tests that change a sweep write their own."""
    return write_sweep(tmp_path_factory.mktemp("sweep") / "quickstart")
