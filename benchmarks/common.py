"""What every report starts with, and the models that several of them time."""

import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genray import provenance

MODELS: list[dict[str, Any]] = [
    {"name": "vae"},
    {"name": "gan"},
    {"name": "aae"},
    {"name": "vae_gan"},
    {"name": "cvae"},
    {"name": "joint_vae"},
    {"name": "discrete_vae"},
    {"name": "vae", "network": "conv"},
    {"name": "gan", "network": "conv"},
    {"name": "progan", "growth": False},
]


def name_of(model: dict[str, Any]) -> str:
    return " ".join(map(str, model.values()))


def header(title: str, packages: Sequence[str]) -> str:
    """Title, command, commit, versions and hardware as Markdown."""
    command = f"python -m benchmarks.{Path(sys.argv[0]).stem} {' '.join(sys.argv[1:])}".strip()
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"""# {title}

- command: `{command}`
- commit: `{_git("rev-parse", "--short", "HEAD")}{"+changes" if _git("status", "--porcelain", "genray") else ""}`
- versions: Python {platform.python_version()}, {versions}
- hardware: {provenance.processor()}
"""


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def hardware() -> str:
    """The GPU where there is one, or the number of cores, as names of reports have it: h200, cpu2."""
    import torch

    if not torch.cuda.is_available():
        return f"cpu{os.cpu_count()}"
    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower().removeprefix("nvidia "))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
