"""The version of what folders of runs and sweeps hold. It stands in the file by which each is known: experiment.yaml,
sweep.yaml. There a sweep has its id too, which no other has: its journal's checksums go on from it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from genray import files
from genray.errors import UserError

VERSION = 1  # to be raised by a change after which an older genray would read a folder wrongly
_KEY, _ID = "schema", "id"
_MOST_ID = 2**32 - 1  # of a CRC-32, as which it is taken


def stamped(text: str, *, id_: int = 0) -> str:
    """YAML with the version above it, and with a sweep's id where it has one."""
    return f"{_KEY}: {VERSION}\n" + (f"{_ID}: {id_}\n" if id_ else "") + text


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


def read_sweep(path: Path) -> tuple[dict[str, Any], int]:
    """The same of a search space, or of the sweep.yaml of a sweep, without the sweep's id, which is given too: 0 where
    there is none, as in the first folders."""
    tree = read_yaml(path)
    id_ = tree.pop(_ID, 0)
    if type(id_) is not int or not 0 <= id_ <= _MOST_ID:
        raise UserError(
            f"{path}: {_ID} must be the number that `genray sweep` writes into sweep.yaml, got {id_!r}; put that back, "
            f"or leave {_ID} out of a search space"
        )
    return tree, id_


def id_of(folder: Path) -> int:
    """Of the sweep whose folder it is; 0 where there is none."""
    return read_sweep(path)[1] if (path := folder / "sweep.yaml").exists() else 0


def new_id() -> int:
    return 1 + secrets.randbelow(_MOST_ID)
