from __future__ import annotations

import os
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: small tensors are slower on two threads

import pytest
from hypothesis import settings

from genray.data.spec import Dataset, DataSpec

if TYPE_CHECKING:
    from genray.extractors.classifier import Classifier


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, which need no download."""
    from genray.data.datasets import load

    return load("digits")


@pytest.fixture(scope="session")
def extractor(digits: Dataset) -> Classifier:
    """That of the digits, trained once a session and not cached on disk."""
    from genray.extractors.trained import train_extractor

    return train_extractor(digits.training_data)


@pytest.fixture
def tiny_spec() -> DataSpec:
    return DataSpec(channels=1, height=8, width=8, num_classes=10)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail where a test skips: for CI, where all is there")


def pytest_runtest_setup(item: pytest.Item) -> None:
    import torch

    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if session.config.getoption("--no-skips") else []
    if skipped and not session.exitstatus:
        reporter.write_line(f"\n--no-skips: {len(skipped)} skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


settings.register_profile("nightly", max_examples=14_000, deadline=None, print_blob=True)
settings.register_profile("default", max_examples=400, deadline=None, derandomize=True, database=None)
settings.load_profile("default")
