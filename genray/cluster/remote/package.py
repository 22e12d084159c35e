"""What travels with a job: this genray, what it was installed with, and the search space as it was resolved."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

SPACE = "space.yaml"
_SUFFIXES = {".py", ".html", ".css", ".js", ".typed"}
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a zip; one for all makes equal content equal bytes


def pack(space: str) -> tuple[str, bytes]:
    """A zipped working directory, and its name by its content."""
    files = _code() | {SPACE: space.encode()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EARLIEST)
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name])
    content = buffer.getvalue()
    return f"_ray_pkg_{_digest(files)}.zip", content


def _code() -> dict[str, bytes]:
    top = Path(__file__).parents[2]
    code = {
        path.relative_to(top.parent).as_posix(): path.read_bytes()
        for path in sorted(top.rglob("*"))
        if path.suffix in _SUFFIXES and "__pycache__" not in path.parts
    }
    for name in ("pyproject.toml", "constraints.txt"):
        if (path := top.parent / name).is_file():
            code[name] = path.read_bytes()
    return code


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()[:32]
