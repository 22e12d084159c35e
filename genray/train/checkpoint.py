"""A run's state on the disk: one file, written whole or not at all, loaded without running code from it.

No random state is kept: every draw is a function of (seed, step, place), so the step says it all.
"""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.files import write_atomically

FORMAT = 1


def save(path: Path, state: dict[str, Any], spec: DataSpec) -> None:
    content = {"format": FORMAT, "spec": asdict(spec), **state}
    write_atomically(path, lambda file: torch.save(content, file))


def read(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Any], DataSpec]:
    """The state as it was saved, its tensors on `device`."""
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} is not there: the run has not saved a checkpoint yet; train it first") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint ({reason}); remove it and train again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of format {FORMAT} that genray writes; remove it and train again")
    return content, DataSpec(**content["spec"])
