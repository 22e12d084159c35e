"""A model's sampler as ONNX: the draws of its noise in, images out.

A model draws from the noise that it is handed alone, so that one sampling tells which draws it takes; in the graph they
are inputs, in the order in which they are asked for.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genray.errors import UserError
from genray.models.base import GenerativeModel
from genray.nn.noise import Noise

# N images

EXAMPLE = 3  # images that the graph is made of; it then takes any number


class Draw(NamedTuple):
    name: str
    values: Tensor  # (N, ...)


class Recorder(Noise):
    """Notes the draws that are asked for."""

    def __init__(self, *key: int | str) -> None:
        super().__init__(*key)
        self.draws: list[Draw] = []

    def normal(self, *shape: int) -> Tensor:
        return self._note("normal", super().normal(*shape))

    def uniform(self, *shape: int) -> Tensor:
        return self._note("uniform", super().uniform(*shape))

    def _note(self, kind: str, values: Tensor) -> Tensor:
        count = sum(draw.name.startswith(kind) for draw in self.draws)
        self.draws.append(Draw(f"{kind}_{count + 1}" if count else kind, values))
        return values


class Replayed(Noise):
    """Gives the draws that it was given, in their order. What samples has no dropout."""

    def __init__(self, draws: Iterator[Tensor]) -> None:
        self.device, self._draws = torch.device("cpu"), draws

    def normal(self, *shape: int) -> Tensor:
        return next(self._draws)

    def uniform(self, *shape: int) -> Tensor:
        return next(self._draws)


class Sampler(nn.Module):
    """`label` (N,) where the model takes labels, then its draws → images (N, C, H, W) in [-1, 1]."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        draws, label = iter(inputs), None
        if self.model.takes_labels:
            label = next(draws)
        return self.model.sample(inputs[0].shape[0], Replayed(draws), label=label)


@torch.no_grad()
def example(model: GenerativeModel, n: int, seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    """What goes into the sampler for n images, by name, and the images that come out."""
    inputs, noise = dict[str, Tensor](), Recorder(seed, "export")
    if model.takes_labels:
        inputs["label"] = torch.arange(n) % model.spec.num_classes
    images = model.sample(n, noise, label=inputs.get("label"))
    return inputs | {draw.name: draw.values for draw in noise.draws}, images


def graph(model: GenerativeModel, metadata: Mapping[str, str]) -> bytes:
    """The sampler as an ONNX file. Inputs are `label` where the model takes labels, and its draws: `normal` of N(0, 1),
    `uniform` of [0, 1), numbered where there are several; their first axis, and that of `images`, is named `n`.

    Raises UserError for a sampler that torch cannot write as a graph.
    """
    model.settle()
    inputs, _ = example(model, EXAMPLE)
    n = torch.export.Dim("n")
    with warnings.catch_warnings(), _silent():
        warnings.simplefilter("ignore")  # of torch's, to its own developers
        try:
            program = torch.onnx.export(
                Sampler(model),
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=["images"],
                dynamic_shapes=(tuple({0: n} for _ in inputs),),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise UserError(_refusal(error.__cause__ or error)) from None
    assert program is not None  # noqa: S101  as it was written to no file
    proto = program.model_proto
    for value in (*proto.graph.input, *proto.graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise UserError(_refusal(ValueError(f"{value.name} is of one number of images alone")))
    for key, text in metadata.items():
        proto.metadata_props.add(key=key, value=text)
    content: bytes = proto.SerializeToString()
    return content


def _refusal(error: BaseException) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"this model's sampler cannot be written as ONNX: {reason}; give --out a name that ends in .safetensors"


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """torch prints a graph that it could not export, where one line says why."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
