"""Files in the IDX format, in which MNIST and its kin come. http://yann.lecun.com/exdb/mnist"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genray.errors import UserError

_UNSIGNED_BYTES = 0x08


def find(folder: Path, name: str) -> Path | None:
    """The file `name` of a folder, unpacked or as .gz."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, gzipped where the name ends in .gz. A damaged file is named."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
        raise _damaged(path, "it does not begin as an IDX file of unsigned bytes")
    header = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    if len(content) - header != math.prod(shape):
        raise _damaged(path, f"its header promises {math.prod(shape)} bytes {shape}, it holds {len(content) - header}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged: {reason}; delete it, and it is downloaded again")
