from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from genray.data.batches import Batches
from genray.models.base import Batch


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """float64 everywhere."""
    take = Batches.take

    def take_wide(batches: Batches, index: Tensor) -> Batch:
        return {k: v.double() if v.is_floating_point() else v for k, v in take(batches, index).items()}

    monkeypatch.setattr(Batches, "take", take_wide)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
