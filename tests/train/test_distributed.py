"""Two real processes over gloo."""

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from genray import models
from genray.data.spec import Dataset
from genray.train.distributed import Distributed
from genray.train.trainer import make_trainer
from tests.train.common import experiment


def _rank(rank: int, store: str, results: torch.multiprocessing.SimpleQueue) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    place = Distributed(torch.device("cpu"), rank, 2)
    averaged = [torch.full((2, 3), float(rank)), torch.tensor(10.0 * rank)]
    place.average(averaged)
    results.put((rank, [t.tolist() for t in averaged], place.agree(rank == 0), place.agree(rank == 1)))
    torch.distributed.destroy_process_group()


def test_ranks_average_and_follow_rank_0(tmp_path: object) -> None:
    results = torch.multiprocessing.get_context("spawn").SimpleQueue()
    torch.multiprocessing.spawn(_rank, (f"{tmp_path}/store", results), nprocs=2)
    for _ in range(2):
        rank, averaged, first, second = results.get()
        assert averaged == [[[0.5] * 3] * 2, 5.0], rank
        assert (first, second) == (True, False)


def test_one_rank_needs_no_process_group() -> None:
    gradient = torch.ones(3)
    place = Distributed.single()
    place.average([gradient])
    assert torch.equal(gradient, torch.ones(3))
    assert place.agree(False) is False


@pytest.mark.parametrize("name", models.names())
def test_a_step_all_reduces_the_gradients_of_what_it_moves_and_no_more(
    name: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced: list[int] = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: reduced.append(tensor.nbytes))
    asked = experiment(model={"name": name, "hidden": 16})
    trainer = make_trainer(asked, digits.training_data, Distributed(torch.device("cpu"), 0, 2))
    sizes = {key: sum(p.numel() for p in child.parameters()) for key, child in trainer.model.named_children()}
    trainer.train_step(0)
    assert reduced == [4 * sum(sizes[key] for key in phase.updates) for phase in trainer.model.phases()]
