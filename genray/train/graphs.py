"""Work on a CUDA device that is recorded once and launched as one graph from then on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genray.train.distributed import Distributed

Update = Callable[[], list[Tensor]]
Capture = Callable[[Update, Sequence[torch.Generator]], Update]


def capture_on(place: Distributed) -> Capture | None:
    """How work is recorded there: from an update, and the generators that it draws from, to what launches it. None
    where it is run as it is: on other devices, and where it waits for other ranks."""
    return Graphs().capture if place.device.type == "cuda" and place.world_size == 1 else None


class Graphs:
    """Graphs of one process, in one pool of memory: no two of them run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, update: Update, generators: Sequence[torch.Generator]) -> Update:
        """What runs `update` with what lies, at that time, in the tensors that it reads, and with draws by the seeds
        that generators have then. The tensors returned are written over by the next call.

        Nothing of `update` is run here. Raises RuntimeError where it cannot be recorded: it waits for the device, say.
        """
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self._pool):
            results = update()

        def replay() -> list[Tensor]:
            graph.replay()
            return results

        return replay
