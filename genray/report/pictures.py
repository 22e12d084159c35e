"""Pictures as text that a page can hold, small enough that it opens at once and can be sent by mail."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from genray.errors import UserError

SMALLEST_SIDE = 128  # pixels: no picture is made smaller than this


def data_uri(path: Path, limit: int) -> str | None:
    """A PNG or WebP file as a data URI; made smaller, as WebP, where it is above `limit` bytes; None without it."""
    if not path.is_file():
        return None
    picture = opened(path)
    if picture.format in ("PNG", "WEBP") and path.stat().st_size <= limit:
        return _uri(f"image/{picture.format.lower()}", path.read_bytes())
    shrunk = picture.convert("RGB")
    while len(content := _webp(shrunk)) > limit and min(shrunk.size) > SMALLEST_SIDE:
        shrunk = shrunk.resize((shrunk.width * 3 // 4, shrunk.height * 3 // 4), Image.Resampling.LANCZOS)
    return _uri("image/webp", content)


def opened(path: Path) -> Image.Image:
    """Decoded to its end."""
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: a chunk of a PNG
        raise UserError(
            f"{path} is not a whole picture ({error}); remove it (`genray evaluate` draws all but frames again)"
        ) from None
    return picture


def _webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=82)
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
