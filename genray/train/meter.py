"""How much of its budget a run has spent, and so where it ends and what schedules are told."""

from __future__ import annotations

from collections.abc import Sequence

from genray.config import Experiment
from genray.models.base import Progress, Seconds
from genray.train.distributed import Distributed


class Meter:
    """Counts steps where the budget is in epochs or images, else seconds of training."""

    def __init__(self, experiment: Experiment, steps_per_epoch: int) -> None:
        limit = experiment.limit
        self.seconds, self._steps_per_epoch = limit.seconds, steps_per_epoch
        self.num_steps = (limit.epochs or 0) * steps_per_epoch + -(-(limit.images or 0) // experiment.batch_size)
        self._told = self._now = 0.0  # seconds: to the last step, and now

    def read(self, seconds: float, distributed: Distributed) -> None:
        """The clock after a step or an epoch: rank 0's, as ranks must end and grow at the same step."""
        if self.seconds is not None:
            self._now = distributed.same(seconds)

    def is_spent(self, step: int) -> bool:
        return step >= self.num_steps if self.seconds is None else self._now >= self.seconds

    def tell(self, step: int) -> Progress:
        """For the next step, once."""
        clock = None if self.seconds is None else Seconds(self._told, self._now, self.seconds)
        self._told = self._now
        return Progress(step, self.num_steps, self._steps_per_epoch, clock)

    def step_at(self, share: float) -> int:
        """A step at which so much is spent, of seconds by what the clock then reads: for what times steps anywhere."""
        self._told = self._now = share * (self.seconds or 0.0)
        return int(share * self.num_steps)

    def state(self) -> list[float]:
        return [self._told, self._now]

    def restore(self, state: Sequence[float]) -> None:
        self._told, self._now = state
