"""What a result was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from genray.version import __version__


def versions() -> dict[str, str]:
    """Of Python, genray and the packages that move numbers."""
    packages = {name: version(name) for name in ("torch", "ray", "optuna", "torchmetrics")}
    return {"python": platform.python_version(), **packages, "genray": __version__}


def made_with() -> dict[str, str]:
    """What this process makes things with: the GPU that it may use, or the processor; the commit and versions."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return {"device": device, "commit": commit() or "not known", **versions()}


def processor() -> str:
    """`2 cores, AMD EPYC`"""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else platform.processor()}"


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The commit that genray runs from, with `-dirty` where tracked files were changed. Outside a checkout what
    GENRAY_COMMIT says, which goes with code that is sent to a cluster; else None."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():  # installed, perhaps within some other project's checkout
        return os.environ.get("GENRAY_COMMIT")
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
