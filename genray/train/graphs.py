"""Work on a CUDA device that is recorded once and launched as one graph from then on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from genray.train.distributed import Distributed

Update = Callable[[], list[Tensor]]
NUM_EAGER = 3  # steps before one is captured: optimizers make their state, libraries what they keep
_log = logging.getLogger(__name__)


def graphs_on(place: Distributed) -> Graphs | None:
    """What records work there. None where it is run as it is: on other devices, and where it waits for other ranks."""
    return Graphs() if place.device.type == "cuda" and place.world_size == 1 else None


class Graphs:
    """Graphs in one pool of memory: no two of them run at once."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # as torch has it
        self.renew()

    def renew(self) -> None:
        """To be called where none of them is left: the next ones lie in another pool. What cuBLAS keeps for the stream
        lies in the first one, and so keeps it; PyTorch captures into no pool that is kept without a graph."""
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, update: Update, generators: Sequence[torch.Generator]) -> Update:
        """What runs `update` with what lies, at that time, in the tensors that it reads, and with draws by the seeds
        that generators have then. The tensors returned are written over by the next call.

        Nothing of `update` is run here. Raises RuntimeError where it cannot be recorded: it waits for the device, say.
        """
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            results = update()

        def replay() -> list[Tensor]:
            graph.replay()
            return results

        return replay


class Replays:
    """Steps of several kinds, each of which is run as it is a few times, then captured, and replayed from then on."""

    def __init__(self, graphs: Graphs | None, whose: str) -> None:
        """With `graphs` None nothing is captured. `whose` steps they are is said where one cannot be."""
        self._graphs, self._whose = graphs, whose
        self._taken: Counter[Hashable] = Counter()
        self._captured: dict[Hashable, Update] = {}

    @property
    def num_first(self) -> int:
        """Steps of each kind that take longer than all that follow."""
        return 1 if self._graphs is None else NUM_EAGER + 1

    def forget(self) -> None:
        self._taken.clear()
        self._captured.clear()
        if self._graphs is not None:
            self._graphs.renew()

    def of(self, kind: Hashable, update: Update, generators: Sequence[torch.Generator]) -> Update | None:
        """What replays the next step of this kind; None where it is to be run as it is."""
        if self._graphs is None:
            return None
        self._taken[kind] += 1
        if self._taken[kind] == NUM_EAGER + 1:
            try:
                self._captured[kind] = self._graphs.capture(update, generators)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # a loss that waits for the device: slower, and no fault
                _log.info("steps of %s are run as they are: %s", self._whose, error)
                self._graphs = None
        return self._captured.get(kind)
