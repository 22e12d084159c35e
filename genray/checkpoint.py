"""A run's state on the disk: one file, written whole or not at all, loaded without running code from it.

No random state is kept: every draw is a function of (seed, step, place), so the step says it all.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from genray.config import Experiment
from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.files import set_aside, write_atomically

FORMAT = 1
BEFORE = "previous.pt"  # the checkpoint before the last, beside it
BEST = "best.pt"  # the one of the best score, which may be the last
_FIX = "remove it, and `genray train` with --resume goes on from the one before, or trains again"
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
        _put_also(new, path.with_name(BEST))
    if path.exists():
        os.replace(path, path.with_name(BEFORE))
    os.replace(new, path)


def _put_also(source: Path, place: Path) -> None:
    """The same file in another place; a copy where a file system has no links, as buckets and exFAT have none."""
    same = place.with_suffix(".next.pt")
    same.unlink(missing_ok=True)
    try:
        os.link(source, same)
    except OSError:
        with source.open("rb") as content:
            write_atomically(place, lambda file: shutil.copyfileobj(content, file))
    else:
        os.replace(same, place)


def latest(
    path: Path,
    device: torch.device | str = "cpu",
    *,
    experiment: Experiment | None = None,
    like: Mapping[str, Any] | None = None,
    alone: bool = True,
) -> dict[str, Any] | None:
    """The state to go on from: the newest that is whole, of this experiment and like the state `like` of a trainer of
    it; None where there is none, and training begins anew. Others are set aside by the one process that works in the
    folder `alone`: the next to be saved must not take the place of a good one for theirs."""
    for place in (path, path.with_name(BEFORE)):
        try:
            if place.exists():
                state, _ = read(place, device, experiment=experiment)
                require_like(place, state, like or {})
                return state
        except UserError as error:
            kept = f", and it is kept as {set_aside(place).name}" if alone else ""
            _log.warning("%s; the run goes on from before%s", str(error).partition("; ")[0], kept)
    return None


def require_like(path: Path, state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises UserError where a state lacks what `own` has, or tensors of it have other names or shapes."""
    if unlike := _unlike(state, own):
        raise UserError(f"{path} is no checkpoint of this run: its {unlike} does not fit; {_FIX}")


def _unlike(found: object, own: object) -> str:
    """The dotted name of the first part that does not fit; "" where all do."""
    if not isinstance(own, Mapping):
        if isinstance(own, Tensor):
            return "" if isinstance(found, Tensor) and found.shape == own.shape else "shape"
        return "" if not isinstance(own, int | float) or isinstance(found, int | float) else "value"
    if not isinstance(found, Mapping):
        return "kind"
    are_tensors = own and all(isinstance(value, Tensor) for value in own.values())
    for key in found if are_tensors and len(found) > len(own) else own:
        if key not in found or key not in own:
            return str(key)
        if unlike := _unlike(found[key], own[key]):
            return f"{key}.{unlike}"
    return ""


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


def read(
    path: Path, device: torch.device | str = "cpu", *, experiment: Experiment | None = None
) -> tuple[dict[str, Any], DataSpec]:
    """The state as it was saved, its tensors on `device`. Raises UserError for a file that is damaged or another's, or
    of another experiment than the one that is given."""
    try:
        content: dict[str, Any] = _whole(path.read_bytes(), device)
    except FileNotFoundError:
        raise UserError(f"{path} is not there: the run has not saved a checkpoint yet; train it first") from None
    except _DAMAGED as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint ({reason}); {_FIX}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of format {FORMAT} that genray writes; {_FIX}")
    if experiment and (differing := _differing(content.get("experiment"), experiment.origin())):
        raise UserError(f"{path} is of another experiment, which differs in {', '.join(differing)}; {_FIX}")
    try:
        return content, DataSpec(**content["spec"])
    except (LookupError, TypeError, ValueError):
        raise UserError(f"{path} does not say of what images it is; {_FIX}") from None


def _differing(told: object, origin: Mapping[str, Any]) -> list[str]:
    """In which keys that both have: later versions have more, and the first checkpoints told none."""
    if not isinstance(told, Mapping):
        return []
    return sorted(key for key, value in origin.items() if key in told and told[key] != value)


def _whole(content: bytes, device: torch.device | str) -> Any:
    """torch.save writes a ZIP file with checksums, which torch.load does not look at."""
    with zipfile.ZipFile(io.BytesIO(content)) as records:
        if (damaged := records.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of its {damaged} is another")
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
