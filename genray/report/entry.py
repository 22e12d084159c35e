"""A run as a comparison sees it: its experiment, and what it scored on the test split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genray.runs import Run

# Keys in which two runs may differ and still be the same experiment with another seed, or on another machine. The
# sampler is told by the result, as a run may have been scored by several.
NOT_CONFIGURATION = {"seed", "resources", "checkpoint_every", "sampled_from"}


@dataclass(frozen=True)
class Entry:
    """A run that was evaluated on the test split, by one of its samplers."""

    run: Run
    result: dict[str, Any]
    first: bool = True  # of the run's samplers, whose samples lie in samples.png

    @property
    def sampled_from(self) -> str:
        return str(self.result["sampled_from"])

    @property
    def seed(self) -> int:
        return self.run.experiment.seed

    @cached_property
    def config(self) -> dict[str, Any]:
        return {k: v for k, v in self.run.experiment.plain().items() if k not in NOT_CONFIGURATION}

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """Rows of metrics.jsonl, where the sampler that was scored while training is this one."""
        return self.run.history if self._scored_while_training else []

    @property
    def frames(self) -> dict[int, Path]:
        """Pictures of samples over training time, by epoch, where they were drawn by this sampler."""
        return self.run.frames if self._scored_while_training else {}

    @property
    def _scored_while_training(self) -> bool:
        return bool(self.result.get("validation_sampled_from", "prior") == self.sampled_from)

    @property
    def last_epoch(self) -> int:
        """At which its samples were drawn."""
        return self.run.experiment.epochs or int(max((row["epoch"] for row in self.run.history), default=0))

    @property
    def samples_path(self) -> Path:
        return self.run.picture_path("samples" if self.first else f"samples_{self.sampled_from}")

    @property
    def metrics(self) -> dict[str, float]:
        """Those that are numbers."""
        return {k: float(v) for k, v in self.result["metrics"].items() if v is not None and math.isfinite(v)}

    @property
    def metric_versions(self) -> dict[str, int]:
        """Of each score; 1 where the result does not say."""
        noted = self.result.get("metric_versions") or {}
        return {name: noted.get(name, 1) for name in self.result["metrics"]}
