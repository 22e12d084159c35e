import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: small tensors are slower on two threads

import pytest

from genray.data.spec import Dataset, DataSpec


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, which need no download."""
    from genray.data.datasets import load

    return load("digits")


@pytest.fixture
def tiny_spec() -> DataSpec:
    return DataSpec(channels=1, height=8, width=8, num_classes=10)
