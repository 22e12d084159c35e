"""`genray doctor`, run on the head."""

from __future__ import annotations

from genray.cluster.remote.head import PYTHON, Head
from genray.cluster.remote.poll import shell_path
from genray.cluster.remote.settings import SHARED, SWEEPS, Cluster

CHECKOUT = "~/genray"


def doctor(cluster: Cluster, head: Head) -> int:
    """Shows its lines; returns its exit code."""
    storage = cluster.settings.storage
    if storage == SHARED:
        storage = SWEEPS
    options = f" --storage {shell_path(storage)}" if storage else ""
    return head.show(f"cd {CHECKOUT} && RAY_AUTH_MODE=token {PYTHON} -m genray doctor --address auto{options}")
