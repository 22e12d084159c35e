"""What a sweep will need, measured on the cluster by a job of its own before the sweep is submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from genray.cluster.remote import package
from genray.cluster.remote.follow import why
from genray.cluster.remote.head import PYTHON, Head
from genray.cluster.remote.jobs import KIND, Jobs
from genray.cluster.remote.poll import polls
from genray.cluster.remote.settings import Cluster, Settings
from genray.cluster.view import View
from genray.errors import Fault, UserError
from genray.space import Sweep

NUMBERS = ("gpu_hours", "cpu_hours", "hours")


def check_cost(
    cluster: Cluster,
    head: Head,
    token: str,
    sweep: Sweep,
    job: str,
    runtime_env: Mapping[str, Any],
    max_gpu_hours: float | None,
) -> None:
    """Says what the sweep will need, and refuses what is over the limit."""
    view = View()
    view.say(f"{sweep.name}: measuring a few steps on {cluster.name}; where no worker is up, one has to start first")
    estimate = _measure(head, token, job, command(cluster.settings), runtime_env, view)
    for line in estimate["lines"]:
        view.say(line)
    check_limit(float(estimate["gpu_hours"]), max_gpu_hours)


def check_limit(gpu_hours: float, most: float | None) -> None:
    if most is not None and gpu_hours > most:
        raise UserError(
            f"the sweep needs about {gpu_hours:.3g} GPU hours, over max_gpu_hours of {most:g}; lower --trials or "
            f"experiment.epochs, or allow more by --max-gpu-hours {_rounded_up(gpu_hours)}"
        )


def parse(log: str) -> dict[str, Any]:
    """The last line of the log that is an estimate."""
    for line in reversed(log.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and all(isinstance(value.get(name), int | float) for name in NUMBERS):
            return value | {"lines": list(value.get("lines", []))}
    raise Fault("the cluster measured nothing: `genray estimate` wrote no numbers")


def command(settings: Settings) -> str:
    prices = (("--gpu-hour-price", settings.gpu_hour_price), ("--cpu-hour-price", settings.cpu_hour_price))
    options = "".join(f" {name} {price:g}" for name, price in prices if price is not None)
    return f"exec {PYTHON} -m genray estimate {package.SPACE} --json{options}"


def _measure(
    head: Head, token: str, job: str, entrypoint: str, runtime_env: Mapping[str, Any], view: View
) -> dict[str, Any]:
    with head.tunnel() as port:
        Jobs(port, token).submit(job, entrypoint, runtime_env, {KIND: "estimate"})
    try:
        for look in polls(head, token, job, "~", view.note):
            last = look
    except KeyboardInterrupt:
        with head.tunnel() as port:
            Jobs(port, token).stop(job)
        raise
    finally:
        view.end()
    if last.job.state != "SUCCEEDED":
        reason = why(last.log, last.job)
        raise UserError(reason) if last.job.exit_code == 2 else Fault(f"the estimate failed: {reason}")
    return parse(last.log)


def _rounded_up(hours: float) -> str:
    return f"{hours * 1.05:.2g}" if hours < 100 else f"{hours * 1.05:.0f}"
