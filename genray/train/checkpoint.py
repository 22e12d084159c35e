"""A run's state on the disk: one file, written whole or not at all, loaded without running code from it.

No random state is kept: every draw is a function of (seed, step, place), so the step says it all.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import struct
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.files import write_atomically

FORMAT = 1
BEFORE = "previous.pt"  # the checkpoint before the last, beside it
BEST = "best.pt"  # the one of the best score, which may be the last
_log = logging.getLogger(__name__)
# what zipfile and torch.load raise of a file that is not whole, or no checkpoint
_DAMAGED = (
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def save(path: Path, state: dict[str, Any], spec: DataSpec, *, best: bool = False) -> None:
    """The one before stays beside it: a disk can damage what it holds. So does the last one that was `best`."""
    new = path.with_name("next.pt")
    write_atomically(new, lambda file: _write(file, state, spec))
    if best:
        same = path.with_name("best.next.pt")
        same.unlink(missing_ok=True)
        os.link(new, same)
        os.replace(same, path.with_name(BEST))
    if path.exists():
        os.replace(path, path.with_name(BEFORE))
    os.replace(new, path)


def latest(path: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state to go on from: the newest that is whole; None where there is none, and training begins anew."""
    for place in (path, path.with_name(BEFORE)):
        try:
            if place.exists():
                return read(place, device)[0]
        except UserError as error:
            _log.warning("%s; the run goes on from before", str(error).partition("; ")[0])
    return None


def packed(state: dict[str, Any], spec: DataSpec) -> bytes:
    """What `save` would write, to be sent."""
    buffer = io.BytesIO()
    _write(buffer, state, spec)
    return buffer.getvalue()


def _write(file: BinaryIO, state: dict[str, Any], spec: DataSpec) -> None:
    torch.save({"format": FORMAT, "spec": asdict(spec), **_alone(state)}, file)


def _alone(state: dict[str, Any]) -> dict[str, Any]:
    """With copies of tensors that are parts of larger ones, which would be saved whole: members of a pack are."""
    copies: dict[object, Tensor] = {}  # one of each, though it may be in several places of the state

    def alone(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.untyped_storage().nbytes() == value.nbytes:
            return value
        key = value.data_ptr(), value.dtype, value.shape, value.stride()
        return copies.setdefault(key, value.detach().clone())

    found: dict[str, Any] = tree_map(alone, state)
    return found


def unpacked(content: bytes, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state that was `packed`, its tensors on `device`."""
    state: dict[str, Any] = _whole(content, device)
    return state


def read(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Any], DataSpec]:
    """The state as it was saved, its tensors on `device`. Raises UserError for a file that is damaged or another's."""
    try:
        content: dict[str, Any] = _whole(path.read_bytes(), device)
    except FileNotFoundError:
        raise UserError(f"{path} is not there: the run has not saved a checkpoint yet; train it first") from None
    except _DAMAGED as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint ({reason}); remove it and train again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of format {FORMAT} that genray writes; remove it and train again")
    return content, DataSpec(**content["spec"])


def _whole(content: bytes, device: torch.device | str) -> Any:
    """torch.save writes a ZIP file with checksums, which torch.load does not look at."""
    with zipfile.ZipFile(io.BytesIO(content)) as records:
        if (damaged := records.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of its {damaged} is another")
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
