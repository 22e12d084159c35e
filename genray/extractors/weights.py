"""Files of weights: where they come from, where they lie, and that they are the ones that are meant."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genray.cache import cache_dir
from genray.data.downloads import answering_within
from genray.errors import UserError

_TIMEOUT_S = 30.0  # without an answer


@dataclass(frozen=True)
class Weights:
    """An official file."""

    url: str
    num_bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        """In `weights` below `cache_dir()`."""
        return cache_dir() / "weights" / self.url.rpartition("/")[2]

    def load(self, extractor: str) -> dict[str, Tensor]:
        """What the file holds, without running any code that it might bring; downloaded where it is missing.

        Raises UserError, which says what to put where, for one that cannot be had or is another file.
        """
        if not self.path.is_file():
            self._download(extractor)
        if (found := self._digest()) != self.sha256:
            raise UserError(
                f"{self.path} is not the file that it should be: SHA-256 must be {self.sha256}, got {found}; "
                f"delete it, and {self.url} is downloaded again"
            )
        state: dict[str, Tensor] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state

    def _digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _download(self, extractor: str) -> None:
        """Into a folder beside, and whole to its place: an interrupted download leaves nothing."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
                there = Path(temporary) / self.path.name
                with answering_within(_TIMEOUT_S):
                    torch.hub.download_url_to_file(self.url, str(there), hash_prefix=self.sha256, progress=False)
                there.chmod(0o644)
                os.replace(there, self.path)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"extractor {extractor} needs its weights, which cannot be downloaded "
                f"({' '.join(str(error).split())[:200]}); put {self.url} ({self.num_bytes / 1e6:.0f} MB, SHA-256 "
                f"{self.sha256}) into {folder}, or set GENRAY_CACHE to the folder in which weights/{self.path.name} is"
            ) from None
