"""Exported models, read by the libraries that others read them with: the same weights, and the same images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import genray
from genray import checkpoint, exports, models, onnx_sampler
from genray.cli import main
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.errors import UserError
from genray.models.base import GenerativeModel, Progress, build
from genray.nn.noise import Noise
from genray.runs import create_run

OPTIONS = [
    *({"name": name} for name in models.names()),
    {"name": "vae", "network": "conv"},
    {"name": "vae", "top_latent": 4},
    {"name": "aae", "prior": "swiss_roll", "latent": 2},
    {"name": "cvae", "condition": "box"},
    {"name": "joint_vae", "views": "halves"},
    {"name": "progan", "pixel_norm": False, "batch_norm": "generator"},
]


def run_of(path: Path, digits: Dataset, **config: Any) -> Path:
    """A run that saved its first weights, half way through its steps: ProGAN is fading a level in."""
    experiment = Experiment.parse({"dataset": "digits", "model": {"hidden": 16, **config}})
    model = build(experiment.model, digits.spec, seed=0)
    model.observe(digits.train)
    model.set_progress(Progress(step=50, num_steps=100, steps_per_epoch=10))
    run = create_run(path, experiment)
    checkpoint.save(run.checkpoint_path, {"ema": model.state_dict()}, digits.spec)
    return path


@pytest.mark.parametrize("config", OPTIONS, ids=lambda config: "-".join(str(value) for value in config.values()))
def test_onnx_draws_the_same_images(config: dict[str, Any], digits: Dataset, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", digits, **config)
    out = genray.export(run, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(out)
    model = genray.load(run)
    for n in (1, 7):
        inputs, images = onnx_sampler.example(model, n, seed=n)
        assert [i.name for i in session.get_inputs()] == list(inputs)
        [drawn] = session.run(["images"], {name: values.numpy() for name, values in inputs.items()})
        assert drawn.shape == (n, *digits.spec.shape)
        np.testing.assert_allclose(drawn, images.numpy(), atol=1e-5, rtol=0)
        labels = inputs.get("label")
        torch.testing.assert_close(images, model.sample(n, Noise(n, "export"), label=labels), atol=0, rtol=0)
    assert all(i.shape[0] == "n" for i in (*session.get_inputs(), *session.get_outputs()))
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["experiment"])["model"]["name"] == config["name"]
    assert said["dataset"] == "digits"


def test_labels_and_draws_are_inputs_by_name(digits: Dataset, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", digits, name="cvae", condition="label")
    session = onnxruntime.InferenceSession(genray.export(run, tmp_path / "model.onnx"))
    assert {i.name: i.type for i in session.get_inputs()} == {"label": "tensor(int64)", "normal": "tensor(float)"}
    normal = np.repeat(np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32), 2, axis=0)
    [images] = session.run(["images"], {"label": np.array([3, 4]), "normal": normal})
    assert np.abs(images[0] - images[1]).max() > 1e-3


@pytest.mark.parametrize("name", models.names())
def test_safetensors_hold_the_weights_and_what_they_are_of(name: str, digits: Dataset, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", digits, name=name)
    assert main(["export", str(run)]) == 0
    model, path = genray.load(run), run / "model.safetensors"
    with safe_open(path, "pt") as file:
        said = file.metadata()
        for key, value in model.state_dict().items():
            torch.testing.assert_close(file.get_tensor(key), value, atol=0, rtol=0)
    assert said["dataset"] == "digits"
    assert json.loads(said["experiment"])["model"] == genray.runs.open_run(run).experiment.plain()["model"]
    again = genray.load(path)
    torch.testing.assert_close(again.sample(3, Noise(0)), model.sample(3, Noise(0)), atol=0, rtol=0)


class Stubborn(GenerativeModel):
    """Its images depend on a number that is known only once it is run."""

    def phases(self) -> tuple[()]:
        return ()

    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        z = noise.normal(n, self.spec.num_pixels)
        return (z if float(z.sum()) > 0 else -z).view(n, *self.spec.shape)


class OfThree(Stubborn):
    def sample(self, n: int, noise: Noise, *, label: Tensor | None = None) -> Tensor:
        z = noise.normal(n, self.spec.num_pixels)
        return (z + torch.ones(len(z), 1)).view(len(z), *self.spec.shape)


@pytest.mark.parametrize("kind", [Stubborn, OfThree])
def test_a_sampler_that_is_no_graph_is_refused_in_one_line(
    kind: type[Stubborn], digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    run = run_of(tmp_path / "run", digits, name="vae")
    stubborn = kind(models.load("vae").Config(), digits.spec)
    monkeypatch.setattr("genray.exports.load", lambda path, **given: stubborn)
    assert main(["export", str(run), "--out", str(tmp_path / "model.onnx")]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "sampler cannot be written as ONNX: " in err
    assert not (tmp_path / "model.onnx").exists()


def test_other_names_and_missing_packages_are_refused(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "run", digits, name="vae")
    with pytest.raises(UserError, match=r"--out must end in \.safetensors or \.onnx, got .*model\.pt"):
        genray.export(run, tmp_path / "model.pt")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UserError, match=r"folder\.onnx is a folder; name a file in it"):
        genray.export(run, tmp_path / "folder.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        genray.export(run, tmp_path / "file" / "model.safetensors")

    def none(name: str, *given: Any, **more: Any) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(exports.importlib, "import_module", none)
    with pytest.raises(UserError, match=r"a file \.onnx needs the package onnx \(.*\); pip install 'genray\[export\]'"):
        genray.export(run, tmp_path / "model.onnx")


def test_files_that_are_no_export_are_refused(tmp_path: Path) -> None:
    for name, content in (("cut", b"\x08"), ("other", None)):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content) if content else save_file({"a": torch.zeros(1)}, path)
        with pytest.raises(UserError, match=r"cannot be read as safetensors|does not say which model"):
            genray.load(path)
    with pytest.raises(UserError, match="is not there"):
        genray.load(tmp_path / "none.safetensors")
