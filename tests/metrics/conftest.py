import pytest

from genray.data.spec import Dataset
from genray.metrics.features import Extractor, train_extractor


@pytest.fixture(scope="session")
def extractor(digits: Dataset) -> Extractor:
    """That of the digits, trained once a session and not cached on disk."""
    return train_extractor(digits.training_data)
