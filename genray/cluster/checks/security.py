"""Whether others could command the cluster: the token, and the dashboard's port."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from genray.cluster.checks.base import Check, Facts, fail, joined, ok, warn

ASK_S = 25.0
_LOCK = (
    "start Ray on every machine with RAY_AUTH_MODE=token and the same ~/.ray/auth_token (make one by "
    "`ray get-auth-token --generate`), or take the cluster down: whoever reaches its ports runs code there"
)
_LOOPBACK_FIX = "start the head with --dashboard-host=127.0.0.1 and reach it by an SSH tunnel"

# in a process of its own: Ray reads the token once
_ASK_GCS = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)
    print("answered")
except AuthenticationError:
    print("refused")
except Exception as error:
    print(type(error).__name__, " ".join(str(error).split())[:150])
"""


def ask_gcs(address: str) -> str:
    """What Ray's head says to a request without the token: `answered`, `refused`, or what else went wrong."""
    with tempfile.TemporaryDirectory() as home:  # without ~/.ray/auth_token
        env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
        try:
            done = subprocess.run(
                [sys.executable, "-c", _ASK_GCS, address],
                env=env | {"HOME": home, "RAY_AUTH_MODE": "disabled"},
                capture_output=True,
                text=True,
                timeout=ASK_S,
            )
        except subprocess.TimeoutExpired:
            return f"no answer in {ASK_S:g} s"
    return (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def ask_dashboard(address: str) -> str:
    """The same of the dashboard, whose interface takes jobs."""
    try:
        urllib.request.urlopen(f"http://{address}/api/version", timeout=10).close()
    except urllib.error.HTTPError as error:
        return "refused" if error.code in (401, 403) else f"status {error.code}"
    except OSError as error:
        return f"no answer ({error})"
    return "answered"


def token(gcs: str, dashboard: str | None) -> Check:
    """`dashboard`: None where there is none."""
    asked = {"Ray's head": gcs} | ({"the dashboard": dashboard} if dashboard is not None else {})
    if answered := [who for who, said in asked.items() if said == "answered"]:
        return fail(
            "token", f"a request without the token must be refused, got an answer from {joined(answered)}", _LOCK
        )
    if odd := {who: said for who, said in asked.items() if said != "refused"}:
        found = ", ".join(f"{who}: {said}" for who, said in odd.items())
        return warn("token", f"a request without the token was not answered, and not refused either: {found}", _LOCK)
    return ok("token", f"{joined(asked)} refuse{'s' if len(asked) == 1 else ''} a request without it")


def dashboard(address: str | None, reached: Mapping[str, str], listening: Mapping[str, Sequence[int]]) -> Check:
    """`reached`: by machine, how a connection to the port at the head's own address went. `listening`: on the head."""
    if not address:
        return ok("dashboard", "none is running")
    host, _, port = address.rpartition(":")
    open_from = [node for node, said in reached.items() if said == "open"]
    if open_from or int(port) in listening.get("all", ()):
        where = f"it can be reached from {joined(open_from)}" if open_from else "it listens on every interface"
        return fail("dashboard", f"port {port} must be bound to loopback only, got {host}: {where}", _LOOPBACK_FIX)
    if not reached:
        return ok("dashboard", f"{address}, on loopback")
    return ok("dashboard", f"{address}, on loopback; {joined(reached)} cannot reach it by the head's address")


def ports(facts: Facts) -> Check:
    """For information: what a firewall must keep."""
    shown = [f"{node}: {_ranges(open_)}" for node, fact in facts.items() if (open_ := fact["listening"].get("all"))]
    found = "; ".join(shown) or "none"
    return ok("ports", f"open on every interface (let none but SSH through the firewall): {found}")


def _ranges(ports: Sequence[int]) -> str:
    """`22, 6379, 10002-10004`"""
    runs: list[list[int]] = []
    for port in ports:
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in runs)
