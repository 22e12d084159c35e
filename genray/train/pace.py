"""Steps may be launched on a CUDA device faster than it does them: a clock that is read in between tells too little."""

from __future__ import annotations

from collections import deque

import torch

from genray.train.distributed import Distributed

MOST_BEHIND = 8  # steps: enough that the device never waits for the next one


def pace_on(place: Distributed) -> Pace | None:
    """None where a step is done once it is called."""
    return Pace() if place.device.type == "cuda" else None


class Pace:
    """Holds back who launches steps, so that the device is never more than a few behind."""

    def __init__(self) -> None:
        self._launched: deque[torch.cuda.Event] = deque()  # the last steps

    def keep(self) -> None:
        """Called after each step: waits for the one `MOST_BEHIND` before it."""
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # as torch has it
        event.record()
        self._launched.append(event)
        if len(self._launched) > MOST_BEHIND:
            self._launched.popleft().synchronize()
