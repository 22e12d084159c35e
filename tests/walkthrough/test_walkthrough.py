"""A model that genray does not have, a Wasserstein autoencoder: added by CONTRIBUTING.md alone, used by commands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import genray
from genray import models
from genray.cli import main
from genray.data.spec import Dataset
from genray.errors import UserError
from genray.images import to_float
from genray.models.base import build
from genray.nn.noise import Noise
from genray.runs import Run, open_run
from genray.space import Sweep

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
SCALES = (0.1, 0.2, 0.5, 1, 2, 5, 10)


@pytest.fixture(autouse=True)
def _newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newcomer's model, as if it lay in genray/models."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(HERE / "models")])
    monkeypatch.chdir(tmp_path)


def mmd_by_hand(codes: NDArray[np.float64], prior: NDArray[np.float64]) -> float:
    """Algorithm 2 of Tolstikhin et al. 2018, pair by pair."""
    n, d = codes.shape

    def kernels(a: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        squared = ((others - a) ** 2).sum(axis=1)
        return sum(2 * d * s / (2 * d * s + squared) for s in SCALES)

    same = sum(kernels(each[i], np.delete(each, i, axis=0)).sum() for each in (codes, prior) for i in range(n))
    return float(same / (n * (n - 1)) - 2 * sum(kernels(a, prior).sum() for a in codes) / n**2)


def codes_of(model: torch.nn.Module, digits: Dataset) -> NDArray[np.float64]:
    with torch.no_grad():
        return model.encode(to_float(digits.train.images)).double().numpy()


def normal(n: int, *key: int | str) -> NDArray[np.float64]:
    return Noise(*key).normal(n, 8).double().numpy()


def trained(out: str, *options: str) -> Run:
    assert main(["train", "wae", *(word for option in options for word in ("--set", option)), "--out", out]) == 0
    return open_run(out)


def test_its_loss_is_the_papers(digits: Dataset) -> None:
    """With the whole split as one batch, the first row tells the loss of the first weights, in any order of images."""
    n = len(digits.train)
    run = trained("run", "epochs=1", f"batch_size={n}", "metrics=[reconstruction]")
    codes = codes_of(build(run.experiment.model, digits.spec, seed=0), digits)
    row = run.history[1]
    assert row["train/wae/mmd"] == pytest.approx(mmd_by_hand(codes, normal(n, 0, 0, "wae")), rel=1e-4)
    assert row["train/wae/loss"] == pytest.approx(row["train/wae/squared_error"] + 10 * row["train/wae/mmd"], rel=1e-5)


def test_it_learns_and_every_command_takes_it(digits: Dataset) -> None:
    run = trained("run", "epochs=20", "evaluate_every=20", "metrics=[frechet,reconstruction]")
    for metric in ("frechet", "reconstruction"):
        assert run.history[-1][f"validation/{metric}"] < 0.8 * run.history[0][f"validation/{metric}"]
    untrained, prior = build(run.experiment.model, digits.spec, seed=0), normal(len(digits.train), "fresh")
    before, after = (mmd_by_hand(codes_of(model, digits), prior) for model in (untrained, genray.load("run")))
    assert after < before / 5

    assert main(["sample", "run", "--num", "9", "--out", "samples.npz"]) == 0
    assert np.load("samples.npz")["images"].shape == (9, 8, 8)
    assert main(["evaluate", "run", "--sampled-from", "prior", "--sampled-from", "gmm"]) == 0
    result = open_run("run").result
    assert result is not None
    assert [result["sampled_from"], *(also["sampled_from"] for also in result["also"])] == ["prior", "gmm"]
    assert main(["compare", "run", "--no-controls"]) == 0


def test_its_search_space_is_valid() -> None:
    assert Sweep.load(HERE / "wae.yaml").models == ("wae",)


def model_of_the_document() -> str:
    [found] = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("command", [["check"], ["format", "--diff"]], ids=lambda command: command[0])
def test_the_model_of_the_document_passes_the_checks_of_its_place(command: list[str]) -> None:
    ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "genray/models/gmmn.py", "-"]
    done = subprocess.run(ruff, input=model_of_the_document(), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_model_of_the_document_refuses_a_kernel_without_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gmmn.py").write_text(model_of_the_document())
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    with pytest.raises(UserError, match=r"bandwidth: input should be greater than 0, got 0"):
        models.load("gmmn").Config.parse({"name": "gmmn", "bandwidth": 0})


@pytest.mark.slow
def test_the_contract_holds_for_it_and_for_the_model_of_the_document(tmp_path: Path) -> None:
    folder = shutil.copytree(HERE / "models", tmp_path / "models")
    (folder / "gmmn.py").write_text(model_of_the_document())
    arguments = ["-q", "-p", "no:cacheprovider", "tests/models/test_contract.py", "-k", "wae or gmmn"]
    script = f"""
import pytest
from genray import models
models.__path__ = [*models.__path__, {str(folder)!r}]
raise SystemExit(pytest.main({arguments}))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 50
