"""The version of what folders of runs and sweeps hold. It stands in the file by which each is known: experiment.yaml,
sweep.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genray import files
from genray.errors import UserError

VERSION = 1  # to be raised by a change after which an older genray would read a folder wrongly
_KEY = "schema"


def stamped(text: str) -> str:
    """YAML with the version above it."""
    return f"{_KEY}: {VERSION}\n{text}"


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, without its version. The first folders had none. Raises UserError for one that
    this genray does not know."""
    tree = files.read_yaml(path)
    version = tree.pop(_KEY, 1)
    if type(version) is not int or not 1 <= version <= VERSION:
        raise UserError(
            f"{path.parent}: {_KEY} in {path.name} must be a version that this genray knows, at most {VERSION}, "
            f"got {version!r}; read the folder with a newer genray, or give another"
        )
    return tree
