"""What is read of result.json, and whether it is what `genray evaluate` wrote: whole, and of this run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from genray import files
from genray.config import Experiment
from genray.errors import UserError
from genray.runs import Run
from genray.strict import Strict


class _Read(Strict):
    """Keys that are not known are of a later genray, and not looked at."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Estimate(_Read):
    mean: float
    ci95: float | None = None


class _Network(_Read):
    name: str
    hash: str
    recipe: dict[str, Any] | None = None


class _Scores(_Read):
    """By one sampler."""

    sampled_from: str
    metrics: dict[str, Annotated[float, Field(allow_inf_nan=True)] | None]  # what is no number is left out, and told
    failed: dict[str, str] | None = None
    left_out: dict[str, str] | None = None


class _Result(_Scores):
    experiment: dict[str, Any]
    split: str
    num_samples: PositiveInt
    num_parameters: NonNegativeInt
    train_seconds: float = Field(ge=0)
    also: list[_Scores] = Field(default=[])
    samples_given: str = ""
    validation_sampled_from: str = "prior"
    seed: int | None = None
    fingerprint: str | None = None
    extractor: _Network | None = None
    classifier: _Network | None = None
    floor: dict[str, _Estimate] | None = None
    metric_versions: dict[str, int] | None = None
    test_reads: NonNegativeInt | None = None
    versions: dict[str, str] | None = None
    commit: str | None = None
    device: str | None = None


def refuse_damaged(run: Run, result: Mapping[str, Any]) -> None:
    """Raises UserError for a result.json that is not as it was written, or was written for another run."""
    if why := _damage(run.experiment, result):
        raise UserError(
            f"{run.result_path} is damaged: {why}; run `genray evaluate {shlex.quote(str(run.path))}` again"
        )


def _damage(experiment: Experiment, result: Mapping[str, Any]) -> str:
    """Empty where there is none."""
    required = [name for name, field in _Result.model_fields.items() if field.is_required()]
    if lacking := [name for name in required if name not in result]:
        return f"it lacks {lacking[0]!r}"
    if files.SEAL in result and not files.is_sealed(result):
        return f"its {files.SEAL} is not that of what it holds"
    try:
        seed = _Result.parse(result).seed
        other = Experiment.parse(result["experiment"], "experiment")
    except UserError as error:
        return str(error).rpartition("; ")[0] or str(error)  # what to write there is no fix of what genray wrote
    differing = experiment.differences(other)
    if seed is not None and seed != experiment.seed:
        differing.append("seed")
    return f"it is of another experiment, which differs in {', '.join(differing[:5])}" if differing else ""
