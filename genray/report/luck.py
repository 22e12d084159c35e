"""How good the best of k trials is expected to be: a search of more trials has more luck, which seeds do not show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import TrialState

from genray.report.search import Search, last_values


def expected_best(values: Sequence[float], mode: str) -> list[float]:
    """Expected best of k draws, with replacement, from n values, for k = 1 … n; `mode` is "min" or "max".

    Σᵢ vᵢ ((i/n)ᵏ - ((i-1)/n)ᵏ) over values from the worst to the best. Dodge et al. 2019, arXiv:1909.03004, eq. 6.
    """
    n = len(values)
    ordered: NDArray[np.float64] = np.sort(np.asarray(values, dtype=np.float64))
    worst_first = ordered[::-1] if mode == "min" else ordered
    share = np.arange(n + 1)[:, None] / max(n, 1)
    weights = np.diff(share ** np.arange(1, n + 1), axis=0)  # (i, k)
    return [float(value) for value in worst_first @ weights]


def of_search(search: Search) -> list[float]:
    """Of a model's trials by the first objective: those stopped early have the score they had by then, failed ones the
    worst of all scores, as they cost a try too. Empty where no trial has a score."""
    objective = search.objectives[0]
    scores, num_failed = [], 0
    for trial in search.trials:
        value = next(iter(last_values(trial)), None) if trial.state is not TrialState.FAIL else None
        if value is not None and math.isfinite(value):
            scores.append(value)
        elif trial.state.is_finished():
            num_failed += 1
    worst = (max if objective.mode == "min" else min)(scores, default=0.0)
    return expected_best([*scores, *[worst] * num_failed], objective.mode) if scores else []
