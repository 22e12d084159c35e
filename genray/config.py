"""An experiment: all that one training run is told. Frozen, unknown keys refused; checked once, here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    SerializeAsAny,
    field_serializer,
    model_validator,
)

from genray.errors import nearest
from genray.extractors import DEFAULT
from genray.overrides import flatten
from genray.settings import Beta, Count, ModelConfig, OptimizerConfig
from genray.strict import Strict

_EPOCHS = 60  # of an experiment that says nothing of its budget

MAX_SEED = 2**32 - 1  # of NumPy's older generators, which scikit-learn takes


class PhaseOptimizer(Strict):
    """What an experiment changes of an `OptimizerConfig`; None leaves the model's own value."""

    learning_rate: PositiveFloat | None = None
    betas: tuple[Beta, Beta] | None = None
    weight_decay: NonNegativeFloat | None = None
    clip_norm: PositiveFloat | None = None


class Optimizer(PhaseOptimizer):
    """The same for every phase, and under `phases` for one."""

    learning_rate_scale: PositiveFloat = 1.0  # multiplies the phases' own rates, which differ between models
    phases: dict[str, PhaseOptimizer] = Field(default={})

    def resolve(self, phase: str, own: OptimizerConfig) -> OptimizerConfig:
        """The phase's own configuration, scaled, then what is set for all phases, then what is set for this one."""
        changed = own.model_dump() | {"learning_rate": own.learning_rate * self.learning_rate_scale}
        for override in (self, self.phases.get(phase)):
            if override:
                changed |= override.model_dump(include=set(OptimizerConfig.model_fields), exclude_none=True)
        return OptimizerConfig(**changed)


class Resources(Strict):
    """Of one worker. A fraction of a GPU shares it."""

    cpu: PositiveFloat = 1
    gpu: NonNegativeFloat | None = None  # None: one where there is one


def _load_model_config(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    from genray import models  # imports torch, which `genray --help` need not wait for

    name = value.get("name")
    if not isinstance(name, str):
        raise ValueError(f"model.name must name a model, got {name!r}{nearest(str(name), models.names())}")
    return models.load(name).Config.model_validate(value)


class Budget(Strict):
    """What a run may spend on training: one of the three."""

    epochs: Count | None = None
    seconds: PositiveFloat | None = None  # of training alone, without evaluation
    images: int | None = Field(default=None, gt=0, le=10**15)  # seen, each as often as it is

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [f"{key}={value}" for key, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"budget takes one of epochs, seconds and images, got {', '.join(given) or 'none'}; "
                f"set the others to null"
            )
        return self

    @property
    def text(self) -> str:
        """`60 epochs`, `120 s of training`, `1,000,000 images`."""
        if self.seconds is not None:
            return f"{self.seconds:g} s of training"
        return f"{self.images:,} images" if self.images else f"{self.epochs} epochs"


class Experiment(Strict):
    dataset: str = "digits"
    image_size: int | None = Field(default=None, gt=0, le=4096)  # None: the dataset's own; 32 for a folder
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    epochs: Count | None = None  # a short way to say budget: {epochs: N}; of neither, 60
    budget: Budget | None = None  # in seconds or images, and then without epochs
    batch_size: Count = 128  # over all workers together
    optimizer: Optimizer = Optimizer()
    model: Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_load_model_config)]
    ema_decay: Beta = 0.999  # of the weights that samples are drawn with; 0 switches averaging off
    precision: Literal["float32", "bfloat16"] = "float32"
    metrics: tuple[str, ...] = (
        "frechet",
        "fd_infinity",
        "kernel",
        "prdc",
        "class_entropy",
        "class_score",
        "memorization",
        "elbo",
        "conditional_elbo",
        "conditional_accuracy",
        "joint_elbo",
        "coherence",
        "reconstruction",
        "completion",
    )
    extractor: str = Field(default=DEFAULT, min_length=1)  # whose features the metrics look at: genray/extractors
    num_samples: int | None = Field(
        default=None, gt=0, le=1_000_000
    )  # None: as the split they are compared with, 10,000 at most
    sampled_from: Annotated[
        tuple[Literal["prior", "gmm"], ...],
        Field(min_length=1),
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    ] = ("prior",)  # what samples are decoded from; of several, the first is scored while training
    evaluate_every: Count = 5  # epochs; the last epoch is always evaluated
    checkpoint_every: Count = 5  # epochs; the last epoch is always saved
    workers: Count = 1
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _one_budget(cls, value: Any) -> Any:
        """A budget in epochs stands under `epochs` alone, however it was written."""
        if not isinstance(value, Mapping):
            return value
        epochs, budget = value.get("epochs"), value.get("budget")
        if budget is None:
            return {**value, "epochs": _EPOCHS if epochs is None else epochs}
        if epochs is not None:
            raise ValueError(f"budget and epochs exclude each other, got epochs={epochs} too; set epochs to null")
        given = {k: v for k, v in budget.items() if v is not None} if isinstance(budget, Mapping) else {}
        return {**value, "epochs": given["epochs"], "budget": None} if [*given] == ["epochs"] else value

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """The metrics, where they are others than by default: whoever names one is told why it has no score."""
        return () if self.metrics == type(self).model_fields["metrics"].default else self.metrics

    @property
    def limit(self) -> Budget:
        """The budget, in whichever way it was written."""
        return self.budget or Budget(epochs=self.epochs)

    def share_done(self, row: Mapping[str, float]) -> float:
        """The share of the budget that a run had spent at a row of metrics.jsonl, at most 1."""
        limit = self.limit
        if limit.seconds is not None:
            return min(1.0, row["train_seconds"] / limit.seconds)
        if limit.images is not None:
            return min(1.0, row["step"] * self.batch_size / limit.images)
        return row["epoch"] / (limit.epochs or 1)

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        from genray import metrics

        if len(set(self.sampled_from)) < len(self.sampled_from):
            raise ValueError(f"sampled_from: each stands once, got {', '.join(self.sampled_from)}; leave out one")
        for name in self.metrics:
            if name not in metrics.names():
                raise ValueError(f"metrics: {name!r} is not a metric{nearest(name, metrics.names())}")
        if self.batch_size % self.workers:
            raise ValueError(
                f"batch_size must be a multiple of workers, got batch_size={self.batch_size}, workers={self.workers}; "
                f"set batch_size to {math.ceil(self.batch_size / self.workers) * self.workers}"
            )
        if self.batch_size < (fewest := self.model.fewest_images * self.workers):
            raise ValueError(
                f"batch_size must be >= {self.model.fewest_images} images a worker, as losses of {self.model.name} "
                f"compare them, got batch_size={self.batch_size}, workers={self.workers}; set batch_size to {fewest}"
            )
        return self

    @field_serializer("sampled_from")
    def _one_or_list(self, sampled_from: tuple[str, ...]) -> str | list[str]:
        return sampled_from[0] if len(sampled_from) == 1 else list(sampled_from)

    def origin(self) -> dict[str, Any]:
        """What trained weights are a function of, but for how far they are trained, by dotted keys: a checkpoint says
        it, and is taken by an experiment of the same."""
        parts = {"dataset", "image_size", "seed", "batch_size", "optimizer", "model", "ema_decay", "precision"}
        return flatten(self.model_dump(mode="json", include=parts))

    def differences(self, other: Experiment) -> list[str]:
        """Dotted keys in which the two differ, but for `resources`: a run may go on where there are others."""
        mine, theirs = (flatten(e.model_dump(mode="json", exclude={"resources"})) for e in (self, other))
        return sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
