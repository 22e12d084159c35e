"""Addresses of run folders on a page."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def link(path: Path, out: Path) -> str:
    """A relative address, which holds when the sweep's folder moves with its comparison inside."""
    return quote(os.fsencode(os.path.relpath(path, out.absolute())))  # bytes, as a name need not be UTF-8
