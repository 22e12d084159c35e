"""Codes in TensorBoard's projector, read as its plugin reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from genray.config import Experiment
from genray.data import datasets
from genray.images import to_float
from genray.models.base import HasEncoder, build
from genray.pictures import projector
from genray.runs import Run, create_run


def run_of(name: str, path: Path) -> Run:
    return create_run(path, Experiment.parse({"dataset": "digits", "model": {"name": name, "latent": 3}}))


def read(run: Run) -> ProjectorConfig:
    config: ProjectorConfig = text_format.Parse((run.path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    return config


def test_each_dot_is_the_code_of_the_image_that_it_shows_with_its_label(tmp_path: Path) -> None:
    data, run = datasets.load("digits"), run_of("vae", tmp_path / "run")
    model = build(run.experiment.model, data.spec, seed=0).eval()
    assert isinstance(model, HasEncoder)
    for _ in range(2):  # what is written again does not stand twice
        projector.write(run, model, data.test)
    [found] = read(run).embeddings
    codes = np.loadtxt(run.path / found.tensor_path, delimiter="\t")
    labels = (run.path / found.metadata_path).read_text().split()
    sprite = np.asarray(Image.open(run.path / found.sprite.image_path))
    width, height = found.sprite.single_image_dim
    assert len(codes) == len(labels) == len(data.test)
    per_row = sprite.shape[1] // width
    assert sprite.shape[0] == sprite.shape[1]  # or the plugin places pictures wrongly
    for i in (0, 1, per_row, len(codes) - 1):
        row, column = divmod(i, per_row)
        shown = sprite[row * height : (row + 1) * height, column * width : (column + 1) * width]
        [j] = np.flatnonzero((data.test.images[:, 0] == shown).all(axis=(1, 2)))
        assert int(labels[i]) == data.test.labels[j]
        with torch.no_grad():
            code = model.encode(to_float(data.test.images[j : j + 1]))[0]
        np.testing.assert_allclose(codes[i], code, rtol=1e-4, atol=1e-5)


def test_a_model_without_codes_has_no_projector(tmp_path: Path) -> None:
    data, run = datasets.load("digits"), run_of("gan", tmp_path / "run")
    projector.write(run, build(run.experiment.model, data.spec, seed=0), data.test)
    assert not (run.path / "projector_config.pbtxt").exists()


@pytest.mark.parametrize(("side", "shown"), [(32, True), (300, False)])
def test_images_too_large_for_tensorboard_are_left_out(side: int, shown: bool) -> None:
    images = np.zeros((1_000, 3, side, side), np.uint8)
    assert (projector.sprite(images) is not None) == shown
