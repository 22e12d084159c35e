"""A trained model for other programs: its weights as safetensors, its sampler as ONNX."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genray import files, provenance
from genray.config import Experiment
from genray.data.spec import DataSpec
from genray.errors import UserError
from genray.runs import load, open_run
from genray.version import __version__

if TYPE_CHECKING:
    from genray.models.base import GenerativeModel

NEEDS = {".safetensors": ("safetensors",), ".onnx": ("onnx", "onnxscript")}


def export(run: Path, out: Path | None = None, *, best: bool = False) -> Path:
    """Writes the averaged weights of a run, with `best` of its best checkpoint, or what samples from the prior, by the
    end of the file's name; by default model.safetensors in the run's folder. Both carry the experiment, the commit and
    the images' shape.

    Raises UserError.
    """
    out = out or run / "model.safetensors"
    _check(out)
    opened, model = open_run(run), load(run, best=best)
    metadata = _metadata(opened.experiment, model.spec)
    content = _weights(model, metadata) if out.suffix == ".safetensors" else _graph(model, metadata)
    try:
        files.write_bytes(out, content)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; give another file with --out") from None
    return out


def _check(out: Path) -> None:
    if out.suffix not in NEEDS:
        raise UserError(f"--out must end in .safetensors or .onnx, got {str(out)!r}; for example --out model.onnx")
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file in it, for example --out {out / f'model{out.suffix}'}")
    _require(out.suffix)


def _require(suffix: str) -> None:
    for package in NEEDS[suffix]:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise UserError(
                f"a file {suffix} needs the package {package} ({error}); pip install 'genray[export]', in a checkout "
                "launch/setup export"
            ) from None


def _metadata(experiment: Experiment, spec: DataSpec) -> dict[str, str]:
    return {
        "genray": __version__,
        "commit": provenance.commit() or "",
        "dataset": experiment.dataset,
        "spec": json.dumps(asdict(spec)),
        "experiment": json.dumps(experiment.plain()),
    }


def _weights(model: GenerativeModel, metadata: Mapping[str, str]) -> bytes:
    from safetensors.torch import save

    tensors = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    content: bytes = save(tensors, {"format": "pt", **metadata})
    return content


def _graph(model: GenerativeModel, metadata: Mapping[str, str]) -> bytes:
    from genray.onnx_sampler import graph

    return graph(model, metadata)


def read(path: Path, *, device: str = "cpu") -> GenerativeModel:
    """The model of a .safetensors file that `export` wrote, ready to sample."""
    _require(".safetensors")
    from safetensors import SafetensorError, safe_open

    from genray.models.base import build

    try:
        with safe_open(path, "pt", device=device) as file:
            metadata: dict[str, Any] = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
    except FileNotFoundError:
        raise UserError(f"{path} is not there; give a run's folder, or a file that `genray export` wrote") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error}); export it again") from None
    if not {"spec", "experiment"} <= metadata.keys():
        raise UserError(f"{path} does not say which model it is of; give a file that `genray export` wrote")
    experiment = Experiment.parse(json.loads(metadata["experiment"]), str(path))
    model = build(experiment.model, DataSpec(**json.loads(metadata["spec"])), seed=0).to(device)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)
