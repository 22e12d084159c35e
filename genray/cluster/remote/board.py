"""TensorBoard and Ray's dashboard, both on the head's loopback, through one tunnel."""

from __future__ import annotations

import contextlib
import time

from genray import console
from genray.cluster.remote import token
from genray.cluster.remote.head import PYTHON, Head, free_port
from genray.cluster.remote.settings import SWEEPS, Cluster
from genray.endings import Stopped

_A_PORT = 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'


def board(cluster: Cluster, head: Head) -> None:
    """Prints the addresses, and keeps them open until Ctrl-C."""
    there = int(head.run(f"{PYTHON} -c '{_A_PORT}'"))
    folder = cluster.settings.storage if (cluster.settings.storage or "").startswith("/") else SWEEPS
    # TensorBoard ends with the connection: `read` returns when ssh is gone, however it went
    command = (
        f"mkdir -p {folder}; {PYTHON} -m tensorboard.main --logdir {folder} --host 127.0.0.1 --port {there} "
        f">/dev/null 2>&1 & p=$!; read _; kill $p"
    )
    curves, dashboard = free_port(), free_port()
    with head.linked({curves: there, dashboard: head.dashboard_port}, command) as link:
        rows = [("curves", f"http://127.0.0.1:{curves}"), ("Ray", f"http://127.0.0.1:{dashboard}")]
        print(console.table(rows))
        print(f"Ray's dashboard asks for the token once: it is in {token.path()}. Ctrl-C closes both.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                link.check()
                time.sleep(0.5)
    raise Stopped("closed")
