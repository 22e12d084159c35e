"""What a sweep gives its runs, put into Ray's object store once: how large it is, and how long putting it takes,
bringing it to a second machine, and opening it there again. The second machine is another raylet on this one, so that
the bytes go through Ray's object manager and this machine's loopback, and through no network.
"""

import argparse
import os
import time
from pathlib import Path

from benchmarks.common import header, spread
from genray.cluster.environment import prepare

prepare(None)  # before ray is imported

import ray
from ray.cluster_utils import Cluster
from ray.experimental import get_object_locations

from genray import extractors
from genray.cluster.place import SameFolder
from genray.cluster.work import Final, Shared
from genray.config import Experiment
from genray.data.datasets import load
from genray.evaluation.floor import floor
from genray.evaluation.judge import make_judge, training_features


def given(name: str) -> tuple[Shared, Final]:
    """As genray.cluster.tuner puts it there."""
    dataset = load(name)
    experiment = Experiment.parse({"dataset": name, "model": {"name": "vae"}})
    data = dataset.training_data
    extractor, names = extractors.make(experiment.extractor, data), experiment.metrics
    seen = training_features(extractor, data.train, names)
    judge = make_judge(extractor, data.validation, names, train=seen, tuning=data.train)
    test_judge = make_judge(extractor, dataset.test, names, train=seen, tuning=data.validation)
    return Shared(SameFolder(Path()), data, judge), Final(test_judge, floor(test_judge, dataset.train), dataset)


@ray.remote(resources={"there": 1})
class There:
    def open(self, reference: list) -> float:
        """Seconds to get it. In a list, so that it is not brought before this is called."""
        started = time.perf_counter()
        ray.get(reference[0])
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows = []
    values = given(asked.dataset)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 2 * 1024**3})
    cluster.add_node(num_cpus=1, resources={"there": 1}, object_store_memory=2 * 1024**3)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False)
    there = There.remote()
    ray.get(there.open.remote([ray.put(0)]))  # its process has started
    for name, value in zip(("what all runs read", "what finalists read too"), values, strict=True):
        put, brought, again = [], [], []
        for _ in range(asked.repeats):
            started = time.perf_counter()
            reference = ray.put(value)
            put.append(time.perf_counter() - started)
            brought.append(ray.get(there.open.remote([reference])))
            again.append(ray.get(there.open.remote([reference])))
        size = get_object_locations([reference])[reference]["object_size"]
        rows.append((name, f"{size / 1e6:.1f}", spread(put), spread(brought), spread(again, 3)))
        del reference
    ray.shutdown()
    cluster.shutdown()
    print(header("What runs read, in the object store", ["ray"]))
    print(
        f"{asked.dataset}, {asked.repeats} repeats, seconds: median (range); the machine's load was "
        f"{load_before:.1f} before.\n"
    )
    print("| | MB | put | brought to a second raylet | opened there again |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
