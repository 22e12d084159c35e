"""How many classes the samples cover, and how far their shares are from those of real images. Lin et al. 2018.

Made for stacked digits, with their 1,000 modes, and good for every dataset with labels. A class is covered where one
sample is taken for it: by the extractor's classifier, which for stacked digits looks at each plane. As many real images
as there are samples do not cover all modes either, nor have a divergence of 0: `expected_modes` says how many they
cover, and with N samples of K modes the divergence of perfect samples is about (K − 1) / 2N nats.
"""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
from numpy.typing import NDArray

from genray.errors import UserError
from genray.metrics.base import Context, Score

# N images, K modes; counts, p and q are (K,)

NEEDS_LABELS = True
MIN_IMAGES = 1
_SOURCE = "Srivastava et al. 2017, arXiv:1705.07761, §4.1, and Lin et al. 2018, arXiv:1712.04086, by our classifier"
SCORES = {
    "modes": Score(
        better="higher",
        unit="",
        summary="classes that at least one sample is taken for; with fewer samples, fewer of many classes",
        source=_SOURCE,
        group="diversity",
    ),
    "modes_kl": Score(
        better="lower",
        unit="nats",
        summary="KL divergence of the samples' shares of the classes from the real images'; of few samples it is large",
        source=f"{_SOURCE}; shares of real images by Laplace's rule, one image more of each class",
        group="diversity",
    ),
}

_log = logging.getLogger(__name__)


def compute(context: Context) -> dict[str, float]:
    """Modes covered and KL(p_samples ‖ p_real) [nats], p_real from the labels of the split. {} without labels.

    Raises UserError where the extractor does not tell these classes apart.
    """
    labels, num_modes = context.split.labels, context.fake.probabilities.shape[1]
    if labels is None:
        return {}
    if labels.max() >= num_modes:
        raise UserError(
            f"modes needs an extractor that tells the dataset's classes apart, got {num_modes} of them and a label "
            f"{labels.max()}; take the dataset's own extractor, or leave modes out of metrics"
        )
    expected = shares(np.bincount(labels, minlength=num_modes) + 1)
    if (count := len(context.fake)) < num_modes:
        _say_few(count, num_modes, round(expected_modes(expected, count)))
    counts = np.bincount(context.fake.probabilities.argmax(1), minlength=num_modes)
    return {"modes": float(covered(counts)), "modes_kl": kl_nats(shares(counts), expected)}


def covered(counts: NDArray[np.int64]) -> int:
    """Modes with one sample or more."""
    return int((counts > 0).sum())


def shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(counts / counts.sum())


def kl_nats(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """KL(p ‖ q) [nats]; 0 ln 0 is 0. q is above 0 where p is."""
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / q[there])))


def expected_modes(p: NDArray[np.float64], count: int) -> float:
    """Modes that `count` independent draws from p cover, on average: Σ 1 − (1 − p)^N."""
    return float(np.sum(1 - (1 - p) ** count))


@cache
def _say_few(count: int, num_modes: int, expected: int) -> None:
    """Once a process, as it would be so at every evaluation."""
    _log.warning(
        "modes: %d samples cannot cover all %d modes, as many real images cover about %d; raise num_samples",
        count,
        num_modes,
        expected,
    )
