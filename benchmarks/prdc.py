"""Precision, recall, density and coverage of as many features of either kind: genray's blocks of distances, against the
package of the metrics' authors, in turns in one process. Values that differ end the run.

Features are Gaussian, of the extractor's 32 dimensions or as many as asked for. Both compute all three matrices of
distances; genray keeps the radii of real images for the next evaluation, which is measured too.
"""

import argparse
import contextlib
import io
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from prdc import compute_prdc

from benchmarks.common import header, spread
from genray.data.spec import Split
from genray.extractors.base import FeatureSet
from genray.extractors.network import NUM_FEATURES
from genray.metrics import prdc
from genray.metrics.base import Context

Values = dict[str, float]


def seen(n: int, shift: float, seed: int, num_features: int) -> FeatureSet:
    features = np.random.default_rng(seed).normal(shift, 1, (n, num_features)).astype(np.float32)
    return FeatureSet(features, np.ones((n, 1), np.float32))


def ours(real: FeatureSet, fake: FeatureSet) -> Values:
    nothing = Split(np.zeros((0, 1, 1, 1), np.uint8))
    return prdc.compute(Context(real, fake, nothing, None, 0, torch.device("cpu"), None, nothing))


def theirs(real: FeatureSet, fake: FeatureSet) -> Values:
    with contextlib.redirect_stdout(io.StringIO()):
        return dict(compute_prdc(real.features.astype(float), fake.features.astype(float), prdc.NEIGHBOURS))


def timed(compute: Callable[[FeatureSet, FeatureSet], Values], *sets: FeatureSet) -> tuple[float, float, Values]:
    """Seconds of wall time, seconds of all processors together, and the values."""
    wall, processors = time.perf_counter(), time.process_time()
    values = compute(*sets)
    return time.perf_counter() - wall, time.process_time() - processors, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=NUM_FEATURES, help="dimensions; those of Inception are 2,048")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for compute in (ours, theirs):  # libraries load, threads start
        compute(seen(500, 0.0, 0, asked.features), seen(500, 0.2, 1, asked.features))
    sides = {"genray": ours, "genray, where the real radii are known": ours, "prdc": theirs}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    load = os.getloadavg()[0]
    for repeat in range(asked.repeats):
        sets = [seen(asked.images, shift, 2 * repeat + i, asked.features) for i, shift in enumerate((0.0, 0.2))]
        found = {}
        for name, compute in sides.items():
            wall, processors, found[name] = timed(compute, *sets)
            seconds[name].append((wall, processors))
        assert all(abs(found["genray"][key] - value) < 1e-12 for key, value in found["prdc"].items()), found
    print(header("Precision, recall, density and coverage", ["torch", "numpy", "scikit-learn", "prdc"]))
    print(
        f"{asked.images:,} x {asked.images:,} features of {asked.features:,} dimensions, k = {prdc.NEIGHBOURS}, "
        f"{asked.threads} threads, {asked.repeats} pairs of sets, equal values of both. Seconds; the machine's load "
        f"was {load:.1f} before.\n"
    )
    print("| | wall time: median (range) | of all processors: median (range) |\n|---|---|---|")
    for name, values in seconds.items():
        walls, processors_of = zip(*values, strict=True)
        print(f"| {name} | {spread(walls)} | {spread(processors_of)} |")


if __name__ == "__main__":
    main()
