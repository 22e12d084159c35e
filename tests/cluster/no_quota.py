"""A provider of machines that starts none, as a cloud whose quota is used up."""

from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException


class NoQuota(FakeMultiNodeProvider):
    def create_node_with_resources_and_labels(self, *of: Any, **named: Any) -> None:
        raise NodeLaunchException("QuotaExceeded", "no quota for machines with a GPU", None)
