"""What is captured is forgotten, and captured again, as CUDA's rules for pools of memory have it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

import pytest
import torch
from torch import Tensor

from genray.data.spec import Dataset
from genray.train import graphs, pack
from genray.train.graphs import NUM_EAGER, Graphs, Replays
from tests.train.packs import together, vaes


class FakeCuda:
    """Of `torch.cuda`, pools of memory: one whose graphs are all gone, and that is kept by what a library has allocated
    in the first capture on a stream, takes no more of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graphs: dict[int, WeakSet[FakeGraph]] = {}  # by pool
        self.streams: list[object] = []  # of each capture
        self._num_pools = 0
        for name in ("graph_pool_handle", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
        monkeypatch.setattr(torch.cuda, "Stream", object)

    def graph_pool_handle(self) -> int:
        self._num_pools += 1
        return self._num_pools

    @contextmanager
    def graph(self, graph: "FakeGraph", *, pool: int, stream: object) -> Iterator[None]:
        if pool in self.graphs and not self.graphs[pool]:
            raise RuntimeError("use_count > 0 INTERNAL ASSERT FAILED")
        self.graphs.setdefault(pool, WeakSet()).add(graph)
        self.streams.append(stream)
        yield


class FakeGraph:
    def replay(self) -> None:
        pass

    def register_generator_state(self, generator: torch.Generator) -> None:
        pass


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return FakeCuda(monkeypatch)


def captured(replays: Replays, kinds: str, update: Callable[[], list[Tensor]] = list) -> list[bool]:
    """Whether the last of some steps of each kind is replayed."""
    return [[replays.of(kind, update, ()) for _ in range(NUM_EAGER + 1)][-1] is not None for kind in kinds]


def test_what_was_forgotten_is_captured_again(cuda: FakeCuda) -> None:
    """On one stream, where the library's memory is; kinds that are there together share a pool."""
    replays = Replays(Graphs(), "a model")
    for _ in range(3):
        assert captured(replays, "ab") == [True, True]
        replays.forget()
    assert len(cuda.graphs) == 3
    assert len(cuda.streams) == 6
    assert len(set(cuda.streams)) == 1
    other = Replays(Graphs(), "a model")
    assert captured(other, "a") == [True]
    assert len(set(cuda.streams)) == 2


def test_memory_that_is_not_enough_is_no_loss_that_cannot_be_recorded(cuda: FakeCuda) -> None:
    def too_large() -> list[Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        captured(Replays(Graphs(), "a model"), "a", too_large)


@pytest.mark.gpu
def test_steps_are_captured_again_where_a_member_has_left_on_cuda(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Graphs] = []

    class Counting(Graphs):
        def __init__(self) -> None:
            super().__init__()
            self.recorded = 0
            made.append(self)

        def capture(self, *given: object) -> graphs.Update:
            replay = super().capture(*given)
            self.recorded += 1
            return replay

    monkeypatch.setattr(pack, "graphs_on", lambda place: Counting())
    packed = together(vaes(digits, 4, device="cuda"), range(10))
    for number in (1, 2):
        packed.leave(packed.trainers[0])
        for step in range(10 * number, 10 * (number + 1)):
            packed.train_step([step] * len(packed.trainers))
    assert made[0].recorded == 3
    assert packed._replays.num_first == NUM_EAGER + 1  # it has not given up
