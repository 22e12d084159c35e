"""Files in the IDX format, in which MNIST and its kin come (LeCun's page on MNIST gives the format)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genray.errors import UserError

_UNSIGNED_BYTES = 0x08


def on_disk(path: Path) -> Path:
    """`path`, or where there is only that, the same with .gz added."""
    packed = path.with_name(f"{path.name}.gz")
    return packed if packed.is_file() and not path.is_file() else path


def read(path: Path, *, ndim: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, which may be packed as .gz. A damaged file is named."""
    path = on_disk(path)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    header = 4 + 4 * ndim
    if content[:4] != bytes([0, 0, _UNSIGNED_BYTES, ndim]) or len(content) < header:
        raise _damaged(path, f"it does not begin as an IDX file of bytes with {ndim} dimensions")
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    if len(content) - header != math.prod(shape):
        raise _damaged(path, f"its header says {math.prod(shape)} bytes, and {len(content) - header} follow")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged: {reason}; delete it, and it is downloaded again")
