import numpy as np
import pytest
import torch

from genray.data.batches import Batches
from genray.data.spec import Split
from genray.errors import UserError


@pytest.fixture
def split() -> Split:
    """Image i is filled with the value i, so that a batch says which images it holds."""
    images = np.broadcast_to(np.arange(50, dtype=np.uint8)[:, None, None, None], (50, 1, 2, 2))
    return Split(images, np.arange(50, dtype=np.int64))


def which(batch: dict[str, torch.Tensor]) -> list[int]:
    return ((batch["image"][:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_an_epoch_holds_each_image_at_most_once_and_epochs_differ(split: Split) -> None:
    batches = Batches(split, batch_size=8, seed=0)
    assert batches.steps_per_epoch == 6
    epochs = [[i for step in range(6 * e, 6 * e + 6) for i in which(batches[step])] for e in range(3)]
    assert all(len(set(seen)) == 48 for seen in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert {i for seen in epochs for i in seen} == set(range(50))  # what an epoch leaves out, another has


def test_images_keep_their_labels_and_range(split: Split) -> None:
    batch = Batches(split, batch_size=50, seed=3)[0]
    assert which(batch) == batch["label"].tolist()
    assert batch["image"].dtype == torch.float32
    values = torch.tensor([0, 255], dtype=torch.uint8).numpy().reshape(2, 1, 1, 1)
    assert sorted(Batches(Split(values), batch_size=2, seed=0)[0]["image"].flatten().tolist()) == [-1.0, 1.0]


def test_a_batch_is_a_function_of_the_step_alone(split: Split) -> None:
    forwards, backwards = Batches(split, batch_size=8, seed=1), Batches(split, batch_size=8, seed=1)
    expected = [which(forwards[step]) for step in range(20)]
    assert [which(backwards[step]) for step in reversed(range(20))] == expected[::-1]
    assert [which(Batches(split, batch_size=8, seed=2)[step]) for step in range(20)] != expected


def test_ranks_share_the_global_batch(split: Split) -> None:
    whole = Batches(split, batch_size=12, seed=0)
    parts = [Batches(split, batch_size=12, seed=0, rank=rank, world_size=3) for rank in range(3)]
    for step in range(9):
        assert [i for part in parts for i in which(part[step])] == which(whole[step])


def test_a_batch_larger_than_the_data_is_refused(split: Split) -> None:
    with pytest.raises(UserError, match=r"batch_size=51, n=50; lower batch_size"):
        Batches(split, batch_size=51, seed=0)
