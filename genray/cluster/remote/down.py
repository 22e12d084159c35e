"""Takes the cluster down, by Ray's own command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from genray.cluster.remote.head import last_line
from genray.cluster.remote.settings import Cluster
from genray.errors import Fault


def take_down(cluster: Cluster) -> None:
    print(f"taking {cluster.name} down", file=sys.stderr)
    ray = Path(sys.executable).with_name("ray")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [str(ray), "down", "-y", str(cluster.path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        reason = last_line(done.stderr) or last_line(done.stdout)
        raise Fault(
            f"the page is here, but `ray down` failed ({reason}) and {cluster.name} is still up; "
            f"try `ray down {cluster.path}`"
        )
    print(f"{cluster.name} is down", file=sys.stderr)
