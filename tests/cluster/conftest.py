from collections.abc import Iterator
from typing import Any

import pytest
from ray.cluster_utils import Cluster

# Ray takes 15 s to give a machine up: five looks, three seconds apart. A busy machine answers late, and is waited for.
_DEATHS_SEEN = {"health_check_period_ms": 500, "health_check_failure_threshold": 2}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that trains nothing, and two machines of one CPU. It has the environment of the fixtures before it."""
    head: dict[str, Any] = {"num_cpus": 0, "object_store_memory": 150_000_000, "_system_config": _DEATHS_SEEN}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            add_machine(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_machine(cluster: Cluster) -> None:
    cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
