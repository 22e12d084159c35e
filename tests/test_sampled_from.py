"""`sampled_from` from the command line to the page: one training, a row for each sampler."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import genray
from genray.cli import main
from genray.errors import UserError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for model, first in (("vae", ["gmm", "prior"]), ("gan", ["gmm", "prior"])):
        experiment = {"dataset": "digits", "epochs": 2, "evaluate_every": 2, "metrics": ["frechet", "elbo"]}
        genray.train(experiment | {"model": {"name": model, "hidden": 16}, "sampled_from": first}, out=folder / model)
        genray.evaluate(folder / model)
    return folder


def result_of(run: Path) -> dict[str, object]:
    return json.loads((run / "result.json").read_text())


def test_a_run_is_scored_by_each_sampler_that_its_model_has(runs: Path) -> None:
    vae, gan = result_of(runs / "vae"), result_of(runs / "gan")
    assert (vae["sampled_from"], vae["validation_sampled_from"]) == ("gmm", "gmm")
    assert vae["metrics"].keys() == {"frechet"}
    [also] = vae["also"]
    assert (also["sampled_from"], also["metrics"].keys()) == ("prior", {"frechet", "elbo"})
    assert also["metrics"]["frechet"] != vae["metrics"]["frechet"]
    assert (gan["sampled_from"], gan["validation_sampled_from"], gan["also"]) == ("prior", "prior", [])


def test_what_is_scored_while_training_is_the_first_sampler(runs: Path) -> None:
    last = json.loads((runs / "vae" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {key for key in last if key.startswith("validation/")} == {"validation/frechet"}


def test_each_sampler_has_a_row_and_a_picture(runs: Path, tmp_path: Path) -> None:
    comparison = genray.compare([runs / "vae", runs / "gan"], out=tmp_path)
    rows = {row["label"]: row for row in comparison["rows"]}
    assert rows.keys() == {"vae (from gmm)", "vae (from prior)", "gan"}
    vae = result_of(runs / "vae")
    assert rows["vae (from gmm)"]["metrics"]["frechet"]["mean"] == vae["metrics"]["frechet"]
    assert rows["vae (from prior)"]["metrics"]["frechet"]["mean"] == vae["also"][0]["metrics"]["frechet"]
    page = (tmp_path / "index.html").read_text()
    for label in rows:
        assert f'alt="Samples of {label}, seed 0"' in page
    assert (runs / "vae" / "samples.png").read_bytes() != (runs / "vae" / "samples_prior.png").read_bytes()


def test_samples_in_a_file_come_from_the_same_mixture(runs: Path, tmp_path: Path) -> None:
    command = ["sample", str(runs / "vae"), "--num", "7", "--sampled-from", "gmm", "--out", str(tmp_path / "s.npz")]
    assert main(command) == 0
    with np.load(tmp_path / "s.npz") as file:
        np.testing.assert_array_equal(file["images"], genray.sample(runs / "vae", 7, sampled_from="gmm")[:, 0])
    assert (genray.sample(runs / "vae", 7) != genray.sample(runs / "vae", 7, sampled_from="gmm")).any()


def test_a_run_can_be_scored_by_other_samplers_later(runs: Path, tmp_path: Path) -> None:
    out = genray.train(
        {"epochs": 1, "metrics": ["frechet"], "model": {"name": "aae", "hidden": 16}}, out=tmp_path / "a"
    )
    result = genray.evaluate(out.path, sampled_from=["prior", "gmm"])
    assert [each["sampled_from"] for each in result["also"]] == ["gmm"]
    assert result["validation_sampled_from"] == "prior"
    with pytest.raises(UserError, match="sampled_from"):
        genray.evaluate(out.path, sampled_from=["gnm"])


def test_a_model_without_codes_is_refused(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["train", "gan", "--set", "sampled_from=gmm", "--out", str(runs / "new")],
        ["sample", str(runs / "gan"), "--sampled-from", "gmm", "--out", str(runs / "new.png")],
        ["evaluate", str(runs / "gan"), "--sampled-from", "gmm"],
    ):
        assert main(command) == 2
        assert "gmm needs a model that encodes images and decodes codes, got gan" in capfd.readouterr().err
    assert not (runs / "new").exists()
    assert not (runs / "new.png").exists()


SPACE = {"experiment": {"epochs": 2}, "search": {"model.hidden": {"choice": [16, 32]}}, "trials": 2}


@pytest.mark.parametrize(
    ("models", "sampled_from", "changes", "words"),
    [
        (
            ["gan", "vae"],
            "gmm",
            {},
            "gmm needs a model that encodes images and decodes codes, got gan; set it to prior",
        ),
        (["vae"], "gnm", {}, "got 'gnm'"),
        (["vae"], [], {}, "sampled_from"),
        (["vae"], ["gmm", "gmm"], {}, "sampled_from: each stands once, got gmm, gmm; leave out one"),
        (["vae"], "gmm", {"objective": {"metric": "elbo"}}, "'elbo' judges a model and not its samples"),
        (["vae"], "prior", {"search": {"sampled_from": {"choice": ["prior", "gmm"]}}}, "cannot be searched"),
    ],
)
def test_refused_before_anything_starts(
    models: list[str], sampled_from: object, changes: dict[str, object], words: str, tmp_path: Path, capfd
) -> None:
    space = SPACE | {"models": models, "experiment": {"epochs": 2, "sampled_from": sampled_from}} | changes
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    assert main(["sweep", str(tmp_path / "space.yaml"), "--out", str(tmp_path / "out")]) == 2
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("genray: ")
    assert words in error
    assert not (tmp_path / "out").exists()
