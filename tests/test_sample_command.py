"""genray sample --label and --complete, on runs that are written without training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import genray
from genray import checkpoint
from genray.cli import main
from genray.config import Experiment
from genray.data.spec import DataSpec
from genray.images import GREY
from genray.models.base import build
from genray.runs import create_run

SPEC = DataSpec(1, 32, 32, 10)  # of a size that pictures do not enlarge


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_run(folder: str, spec: DataSpec = SPEC, **model: object) -> str:
    experiment = Experiment.parse({"model": {"hidden": 8, **model}})
    run = create_run(folder, experiment)
    checkpoint.save(run.checkpoint_path, {"ema": build(experiment.model, spec, 0).state_dict()}, spec)
    return folder


def write_images(n: int) -> list[str]:
    for i in range(n):
        values = np.random.default_rng(i).integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(values).save(f"{i}.png")
    return [f"{i}.png" for i in range(n)]


def refused(command: str, capfd: pytest.CaptureFixture[str]) -> str:
    before = sorted(Path().rglob("*"))
    assert main(command.split()) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return error


def test_label_gives_samples_of_the_model_given_that_label() -> None:
    run = write_run("run", name="cvae")
    assert main(["sample", run, "--label", "7", "--num", "5", "--out", "seven.npz"]) == 0
    seven = np.load("seven.npz")["images"]
    assert seven.shape == (5, 32, 32)
    np.testing.assert_array_equal(seven, genray.sample(run, 5, label=7)[:, 0])
    assert not np.array_equal(seven, genray.sample(run, 5, label=3)[:, 0])
    assert len(np.unique(seven, axis=0)) == 5


def test_completions_of_files_stand_side_by_side() -> None:
    """A row an image: original, given, completions. What is given is kept in each."""
    run, files = write_run("run", name="cvae", condition="top"), write_images(3)
    assert main(["sample", run, "--num", "2", "--complete", *files, "--out", "all.png"]) == 0
    with Image.open("all.png") as image:
        picture = np.asarray(image)
    assert picture.shape == (3 * 34 - 2, 4 * 34 - 2)
    for i, file in enumerate(files):
        original, given, first, second = (picture[34 * i :, 34 * j :][:32, :32] for j in range(4))
        with Image.open(file) as image:
            np.testing.assert_array_equal(original, np.asarray(image))
        for other in (given, first, second):
            np.testing.assert_array_equal(other[:16], original[:16])
        assert (given[16:] == GREY).all()
        assert not np.array_equal(first, second)


@pytest.mark.parametrize("channels", [1, 3])
def test_completions_as_arrays(channels: int) -> None:
    run, files = write_run("run", DataSpec(channels, 32, 32, 0), name="cvae", condition="left"), write_images(2)
    assert main(["sample", run, *files, "--complete", files[0], "--out", "all.npz"]) == 0
    with np.load("all.npz") as found:
        assert found["images"].shape == (3, 8, 32, 32) + (3,) * (channels == 3)
        assert found["masks"].shape == (3, 32, 32)
        assert found["masks"][:, :, :16].all()
        assert not found["masks"][:, :, 16:].any()
    assert genray.complete(run, files, 3).shape == (2, 3, channels, 32, 32)


def test_labels_that_are_not_there(capfd: pytest.CaptureFixture[str]) -> None:
    write_run("run", name="cvae")
    write_run("plain", name="vae")
    write_run("top", name="cvae", condition="top")
    for label in (10, -1):
        error = refused(f"sample run --label {label}", capfd)
        assert f"--label must lie between 0 and 9, got {label}" in error
    assert "valid integer" in refused("sample run --label seven", capfd)
    for run in ("plain", "top"):
        assert f"--label needs a model that draws images of a given label, and {run}" in refused(
            f"sample {run} --label 1", capfd
        )
    assert "--sampled-from" in refused("sample run --label 1 --sampled-from gmm", capfd)


def test_completions_that_cannot_be(capfd: pytest.CaptureFixture[str]) -> None:
    write_run("run", name="cvae", condition="box")
    write_run("label", name="cvae")
    write_run("plain", name="gan")
    write_images(1)
    Path("note.png").write_text("no image")
    for run in ("label", "plain"):
        error = refused(f"sample {run} --complete 0.png", capfd)
        assert f"--complete needs a model that completes images, and {run}" in error
    for file in ("note.png", "missing.png"):
        assert f"cannot read the image {file}" in refused(f"sample run --complete 0.png {file}", capfd)
    assert "files to complete come after --complete" in refused("sample run 0.png", capfd)
    assert "number of completions must be >= 1, got 0" in refused("sample run --complete 0.png --num 0", capfd)
    assert "--label" in refused("sample run --complete 0.png --label 3", capfd)


def test_labels_of_a_dataset_without_and_parts_that_are_none(capfd: pytest.CaptureFixture[str]) -> None:
    Path("images").mkdir()
    for i in range(100):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(f"images/{i}.png")
    command = "train cvae --dataset folder:images --set batch_size=8"
    assert "condition label needs a dataset with labels" in refused(command, capfd)
    command += " --set model.condition=top --set image_size=1"
    assert "condition top needs images of at least 2 x 2, got 1 x 1" in refused(command, capfd)
    assert "model.condition" in refused("train cvae --set model.condition=bottom", capfd)


def test_equal_seeds_complete_equally() -> None:
    run, files = write_run("run", name="cvae", condition="box"), write_images(2)
    first, again, other = (genray.complete(run, files, 2, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_picture_that_a_run_keeps_of_itself_is_not_replaced(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown by `genray compare`. Other files may lie beside it."""
    run = Path(write_run("run", name="vae"))
    (run / "samples.png").write_bytes(b"its own")
    error = refused("sample run --out run/samples.png", capfd)
    assert f"run/samples.png is a picture of the run in {run.absolute()}; give another file" in error
    monkeypatch.chdir(run)
    assert "samples.png is a picture of the run" in refused("sample .", capfd)
    assert Path("samples.png").read_bytes() == b"its own"
    for out in ("mine.npz", "mine.npz", "../samples.png", "../samples.png"):
        assert main(["sample", ".", "--num", "2", "--out", out]) == 0
