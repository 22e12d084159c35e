"""Sweep folders made up on disk, as a sweep would leave them, with a real Optuna journal."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from PIL import Image
from sklearn.datasets import load_digits

from genray.config import Experiment
from genray.images import grid
from genray.intervals import summarize
from genray.overrides import with_values
from genray.report.collect import Collection, collect_by_dataset

MODELS = ("vae", "gan", "vae_gan", "aae")
LEVEL = {"vae": 14.0, "gan": 6.2, "vae_gan": 6.6, "aae": 11.0}  # the Fréchet distance that each ends near
COST = {
    "vae": (23_000, 2.4),
    "gan": (41_000, 7.2),
    "vae_gan": (64_000, 8.4),
    "aae": (48_000, 6.8),
}  # parameters, seconds
CONTROLS = {"memorizer": 1.1, "gaussian_mixture": 3.0, "pca": 6.4, "untrained": 40.0}  # their Fréchet distances
EPOCHS_SHOWN = (0, 10, 20, 30, 40)
FLOOR = {
    "frechet": {"mean": 1.1, "ci95": 0.08, "values": [1.0, 1.1, 1.2, 1.1, 1.1]},
    "kernel": {"mean": 0.0004, "ci95": 0.0003, "values": [0.0004] * 5},
    "precision": {"mean": 0.94, "ci95": 0.01, "values": [0.94] * 5},
    "recall": {"mean": 0.95, "ci95": 0.01, "values": [0.95] * 5},
    "density": {"mean": 1.0, "ci95": 0.02, "values": [1.0] * 5},
    "coverage": {"mean": 0.97, "ci95": 0.01, "values": [0.97] * 5},
    "class_entropy": {"mean": 2.29, "ci95": 0.004, "values": [2.29] * 5},
}
SETTINGS: dict[str, Any] = {
    "name": "quickstart",
    "experiment": {"dataset": "digits", "epochs": 40, "evaluate_every": 5},
    "models": list(MODELS),
    "search": {
        "model.hidden": {"choice": [19, 64, 128]},
        "optimizer.learning_rate": {"loguniform": [1e-4, 3e-3]},
        "model.dropout": {"uniform": [0.0, 0.5]},
    },
    "model_search": {"vae": {"model.kl_weight": {"loguniform": [0.1, 4.0]}}},
    "objective": {"metric": "frechet", "mode": "min"},
    "trials": 8,
    "optuna": {"sampler": "tpe", "seed": 0},
    "scheduler": {"asha": {"grace_epochs": 5, "reduction": 3}},
    "finalists": {"seeds": 5},
}
SPACE: dict[str, BaseDistribution] = {
    "model.hidden": CategoricalDistribution([19, 64, 128]),
    "optimizer.learning_rate": FloatDistribution(1e-4, 3e-3, log=True),
    "model.dropout": FloatDistribution(0.0, 0.5),
}


def scores(model: str, rng: np.random.Generator, frechet: float) -> dict[str, float]:
    quality = 1 / (1 + frechet / 20)
    noise = rng.normal(0, 0.012, 4)
    values = {
        "frechet": frechet,
        "kernel": frechet / 900 + float(rng.normal(0, 0.0004)),
        "precision": float(np.clip(quality + 0.12 + noise[0], 0, 0.99)),
        "recall": float(np.clip(quality - 0.05 + noise[1], 0, 1)),
        "density": float(quality + 0.1 + noise[2]),
        "coverage": float(np.clip(quality + noise[3], 0, 1)),
        "class_entropy": float(2.25 + rng.normal(0, 0.01)),
    }
    if model in ("vae", "vae_gan", "aae"):
        values["reconstruction"] = float(0.02 + 0.01 * rng.random())
    if model == "vae":
        values["elbo"] = float(-31 + rng.normal(0, 0.4))
    return values


def write_run(
    path: Path,
    model: str,
    *,
    seed: int = 1,
    rng: np.random.Generator | None = None,
    params: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    evaluated: bool = True,
    dataset: str = "digits",
    level: float | None = None,
) -> Path:
    """A run's folder. `result` changes keys of its result.json."""
    rng = rng or np.random.default_rng(seed)
    values = {
        "dataset": dataset,
        "seed": seed,
        "epochs": 40,
        "model.name": model,
        "metrics": ["frechet"],
        **(params or {}),
    }
    experiment = Experiment.parse(with_values({}, values))
    path.mkdir(parents=True)
    (path / "experiment.yaml").write_text(experiment.to_yaml())
    end = (level or LEVEL.get(model, 10.0)) * (1 + rng.normal(0, 0.06))
    rows = []
    for epoch in range(41):
        row = {"epoch": epoch, "step": epoch * 11, "train_seconds": epoch * 0.21, "train/elbo/loss": 50 / (1 + epoch)}
        if epoch % 5 == 0:
            now = scores(model, rng, end * (1 + 14 * np.exp(-epoch / 7)) * (1 + rng.normal(0, 0.03)))
            row |= {f"validation/{name}": value for name, value in now.items()}
        rows.append(row)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_pictures(path, model)
    if evaluated:
        write_result(path, experiment, scores(model, rng, end), result or {})
    return path


def write_result(path: Path, experiment: Experiment, values: Mapping[str, float], changes: Mapping[str, Any]) -> None:
    num_parameters, train_seconds = COST[experiment.model.name]
    content = {
        "experiment": experiment.plain(),
        "split": "test",
        "sampled_from": "prior",
        "num_samples": 360,
        "metrics": dict(values),
        "num_parameters": num_parameters,
        "train_seconds": train_seconds,
        "test_reads": 1,
        "dataset": experiment.dataset,
        "fingerprint": "0123456789abcdef",
        "extractor": {"name": "classifier", "hash": "5f0c1d2e3a4b"},
        "floor": FLOOR,
        "versions": {"python": "3.11.2", "torch": "2.15.0", "ray": "2.60.0", "optuna": "5.0.0", "genray": "0.1.0"},
        "commit": "84309b6",
        "seed": experiment.seed,
        "device": "cpu",
    }
    (path / "result.json").write_text(json.dumps(content | dict(changes)))


def write_pictures(path: Path, model: str) -> None:
    (path / "frames").mkdir()
    for name, content in pictures(model).items():
        (path / name).write_bytes(content)


@cache
def pictures(model: str) -> dict[str, bytes]:
    """PNG files: real digits, and the same with noise in the place of samples, more of it the earlier the epoch."""
    rng = np.random.default_rng(0)
    digits = (load_digits().images[:, None] * 15.9).astype(np.uint8)
    real = digits[:64]
    noise = rng.normal(0, 4 * LEVEL.get(model, 10.0), real.shape)
    samples = np.clip(digits[rng.integers(64, 1700, 64)] + noise, 0, 255).astype(np.uint8)
    made = {"real.png": real, "samples.png": samples}
    for epoch in EPOCHS_SHOWN:
        earlier = np.clip(samples + 20 * (40 - epoch) * rng.normal(0, 0.2, real.shape), 0, 255).astype(np.uint8)
        made[f"frames/{epoch:05d}.webp"] = earlier
    if model != "gan":
        blurred = np.clip(real[:16] + noise[:16] / 2, 0, 255).astype(np.uint8)
        rows = [real[:8], blurred[:8], real[8:16], blurred[8:]]
        made["reconstructions.png"] = np.concatenate(rows)
        made["interpolation.png"] = blurred
        made["codes.png"] = blurred[:, :, :1, :1].repeat(40, axis=2).repeat(40, axis=3)
    return {name: encoded(images, name.rpartition(".")[2]) for name, images in made.items()}


def write_controls(folder: Path) -> list[dict[str, Any]]:
    """Control rows, in place of those that are computed; the picture of each is of a grey of its own."""
    rows = []
    for name, frechet in CONTROLS.items():
        picture = folder / f"{name}.png"
        Image.new("L", (340, 340), round(frechet)).save(picture)
        rows.append(
            {
                "label": f"control: {name}",
                "control": name,
                "about": f"what {name} does",
                "seeds": [0, 1, 2],
                "num_parameters": 1_234,
                "train_seconds": 0.5,
                "metrics": {"frechet": summarize([0.99 * frechet, frechet, 1.01 * frechet])},
                "failed": {},
                "samples": str(picture),
            }
        )
    return rows


def encoded(images: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grid(images, columns=8)[:, :, 0]).save(buffer, format=kind)
    return buffer.getvalue()


def write_search(folder: Path, model: str, *, trials: int = 8, fail: str | None = None) -> None:
    """A study by ask and tell: most trials complete, some are pruned, one fails (or all, for the reason `fail`)."""
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    sampler = optuna.samplers.RandomSampler(seed=len(model))
    study = optuna.create_study(storage=storage, study_name=model, sampler=sampler, direction="minimize")
    space = SPACE | ({"model.kl_weight": FloatDistribution(0.1, 4.0, log=True)} if model == "vae" else {})
    for number in range(trials):
        trial = study.ask(space)
        trial.set_user_attr("run", f"{model}/trial_{number:04d}")
        (folder / model / f"trial_{number:04d}").mkdir(parents=True)
        if fail is not None or number == 5:
            trial.set_user_attr("reason", fail or "the loss is not finite at step 31 in phase 'elbo': loss=nan")
            study.tell(trial, state=TrialState.FAIL)
            continue
        worth = LEVEL[model] * (
            1 + abs(np.log10(trial.params["optimizer.learning_rate"] / 1e-3)) + trial.params["model.dropout"]
        )
        stopped = number % 3 == 1
        for epoch in range(5, 11 if stopped else 41, 5):
            trial.report(worth * (1 + 3 * np.exp(-epoch / 9)), epoch)
        if stopped:
            trial.set_user_attr("reason", "stopped after 10 epochs by asha")
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, worth)


def write_sweep(
    folder: Path, *, models: tuple[str, ...] = MODELS, seeds: int = 5, trials: int = 8, **changes: Any
) -> Path:
    folder.mkdir(parents=True)
    own = {"models": list(models), "model_search": {m: s for m, s in SETTINGS["model_search"].items() if m in models}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SETTINGS | own | changes, sort_keys=False))
    for model in models:
        write_search(folder, model, trials=trials)
        for i in range(seeds):
            rng = np.random.default_rng([i, *model.encode()])
            write_run(folder / model / f"finalist_{i}", model, seed=i + 1, rng=rng)
    return folder


def collect(paths: Sequence[Path]) -> Collection:
    """Of runs on one dataset."""
    [collection] = collect_by_dataset(paths).values()
    return collection
