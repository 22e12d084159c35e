import pytest

from genray.data.spec import Dataset, Split, TrainingData
from genray.extractors import network


@pytest.fixture
def few(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> TrainingData:
    """So few digits that our classifier, of which nothing is asked here, is trained at once."""
    monkeypatch.setattr(network, "MIN_STEPS", 3)
    train = Split(digits.train.images[:64], digits.train.labels[:64])
    return TrainingData(
        "digits", digits.spec, train, Split(digits.validation.images[:20], digits.validation.labels[:20])
    )
