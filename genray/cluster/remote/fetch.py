"""A sweep's page and small files, brought from the head to this machine."""

from __future__ import annotations

import json
import time
from pathlib import Path

from genray import console, files
from genray.cluster.remote.head import Head, Unreachable
from genray.cluster.remote.jobs import Job
from genray.cluster.remote.settings import Cluster
from genray.cluster.watch import comparison_of
from genray.errors import UserError

ORIGIN = ".fetched.json"  # says whose copy a folder is
PAUSES_S = (1.0, 5.0, 15.0)  # a connection that breaks comes back, most of the time
_LEFT = (".lock", ".alive", ".ray", ".partial", ".progress.json", ".owner", ".owners", ".*.half")


def folder_of(job_or_name: str) -> Path:
    return Path("runs") / job_or_name


def check(out: Path, cluster: Cluster, folder: str) -> None:
    """Nothing is overwritten but an earlier copy of the same sweep."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        origin = json.loads((out / ORIGIN).read_text())
    except (OSError, ValueError):
        origin = None
    if origin != _origin(cluster, folder):
        what = f"a copy from {origin['cluster']}" if isinstance(origin, dict) else "something else"
        raise UserError(
            f"{out} holds {what}, and is where the sweep's page would come to; move it away, or give the sweep "
            f"another --name, or `genray cluster fetch` another --out"
        )


def fetch(cluster: Cluster, head: Head, job: Job, out: Path, *, checkpoints: bool) -> None:
    check(out, cluster, job.folder)
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(out / ORIGIN, _origin(cluster, job.folder))
    exclude = [*_LEFT, *([] if checkpoints else ["checkpoint/"])]
    for pause in PAUSES_S:
        try:
            return head.fetch(job.folder, out, exclude=exclude)
        except Unreachable:
            time.sleep(pause)
    return head.fetch(job.folder, out, exclude=exclude)


def show(out: Path) -> None:
    """The comparison, as at the end of a sweep on this machine; where there is none yet, the folder."""
    try:
        comparison = comparison_of(out)
    except FileNotFoundError:
        print(console.table([("fetched", str(out)), ("page", "none yet: the sweep has not finished")]))
        return
    console.show_comparison(comparison, out / "comparison")


def _origin(cluster: Cluster, folder: str) -> dict[str, str]:
    return {"cluster": cluster.name, "folder": folder}
