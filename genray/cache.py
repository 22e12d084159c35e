"""Where this machine keeps what is computed or fetched once."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder that GENRAY_CACHE names, by default ~/.cache/genray."""
    return Path(os.environ.get("GENRAY_CACHE") or "~/.cache/genray").expanduser()
