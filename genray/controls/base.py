"""What the controls that are fitted, and not trained, share."""

from __future__ import annotations

from collections.abc import Sequence

from genray.data.spec import DataSpec
from genray.models.base import GenerativeModel, Phase
from genray.settings import ModelConfig


class Fitted(GenerativeModel):
    """A model without phases. What it was fitted to lies in its buffers."""

    Config = ModelConfig

    def __init__(self, spec: DataSpec, latent: int) -> None:
        super().__init__(ModelConfig(name="control", latent=latent), spec)

    def phases(self) -> Sequence[Phase]:
        return ()
