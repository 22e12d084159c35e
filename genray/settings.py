"""What models and their phases are told, within bounds that no honest use meets: beyond them, numbers and memory
overflow where nothing says why."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from genray.strict import Strict

Count = Annotated[int, Field(gt=0, le=10**9)]
Size = Annotated[int, Field(gt=0, le=16_384)]  # units, or draws, that lie in memory together
Beta = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Strict):
    """Adam, as one phase uses it. A model gives each of its phases one; an experiment may override parts of it."""

    learning_rate: PositiveFloat = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 0.0
    clip_norm: PositiveFloat | None = None  # of the phase's whole gradient


class ModelConfig(Strict):
    """What every model has; `genray/models/<name>.py` adds its own fields and may change defaults."""

    branching: ClassVar[frozenset[str]] = frozenset()  # real numbers that `branch` of the model depends on
    name: str
    network: Literal["mlp", "conv"] = "mlp"
    hidden: Size = 128  # width of an MLP's hidden layers; channels of a conv net's coarsest level
    latent: Size = 20
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @property
    def fewest_images(self) -> int:
        """Of a batch, or a worker's part of it, that the losses need: 2 where they compare images with each other."""
        return 1
