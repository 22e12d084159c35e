"""Wrong input through the real command line: one line, exit code 2, nothing made and nothing overwritten."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from genray.cli import main
from genray.data.spec import Dataset
from genray.errors import UserError
from genray.preflight import check_sweep
from genray.space import Sweep

SPACE = {
    "name": "small",
    "experiment": {"dataset": "digits", "epochs": 2},
    "models": ["vae"],
    "search": {"model.hidden": {"choice": [16, 32]}},
    "trials": 2,
}

BOMB = "\n".join(["a: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tree() -> dict[Path, bytes | None]:
    """Every path below the working folder, and what files hold."""
    return {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def refused(arguments: Sequence[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Runs a command that must be refused, and returns its one line."""
    before = tree()
    code = main(arguments)
    error = capfd.readouterr().err
    assert code == 2, error
    assert error.startswith("genray: ")
    assert error.count("\n") == 1, error
    assert tree() == before
    return error


def write_space(text: str = "", **changes: object) -> None:
    Path("space.yaml").write_text(text or yaml.safe_dump(SPACE | changes))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("trian vae", ["trian", "'train'", "--help"]),
        ("train", ["Missing argument 'MODEL'", "train --help"]),
        ("train vae --epochs 3", ["No such option: --epochs"]),
        ("train vea", ["'vea' is not a model", "did you mean 'vae'?"]),
        ("train vae --dataset mnits", ["'mnits'", "did you mean 'mnist'?"]),
        ("train vae --set epoch=3", ["epoch", "unknown key", "did you mean 'epochs'?"]),
        ("train vae --set model.hiden=3", ["model.hiden", "unknown key", "did you mean 'hidden'?"]),
        ("train vae --set model.hidden=0", ["model.hidden", "greater than 0", "got 0"]),
        ("train vae --set model.hidden=wide", ["model.hidden", "integer", "got 'wide'"]),
        ("train vae --set optimizer.learning_rate=.inf", ["optimizer.learning_rate", "finite"]),
        ("train vae --set metrics=[frechte]", ["'frechte' is not a metric", "did you mean 'frechet'?"]),
        ("train vae --set batch_size=5000", ["batch_size must be <=", "batch_size=5000, n=1168", "lower batch_size"]),
        ("train vae --set num_samples=1", ["needs at least 2 samples, got 1", "raise num_samples"]),
        ("train vae --set batch_size=7 --set workers=2", ["multiple of workers", "batch_size=7, workers=2"]),
        ("train vae --set resources.gpu=1", ["resources.gpu", "got 1"]),
        ("train vae --set optimizer.phases.eblo.learning_rate=1", ["'eblo'", "did you mean 'elbo'?"]),
        (
            "train vae --set model.importance_samples=5 --set model.kl_weight=0.5",
            ["model: importance_samples=5", "kl_weight=1.0 alone, got kl_weight=0.5", "leave kl_weight out"],
        ),
        ("train vae --set model.hidden=1000000000", ["model.hidden", "16384", "got 1000000000"]),
        ("train vae --set model.latent=1000000000000000000000000000000", ["model.latent", "16384"]),
        ("train gan --set model.packing=1000000000", ["model.packing", "16384"]),
        ("train vae --set seed=4294967296", ["seed", "4294967295", "got 4294967296"]),
        ("train vae --set image_size=1000000", ["image_size", "4096", "got 1000000"]),
        ("train vae --set epochs=1000000000000", ["epochs", "1000000000", "got 1000000000000"]),
        ("train vae --set num_samples=1000000000", ["num_samples", "1000000", "got 1000000000"]),
        ("train vae --set hidden", ["--set takes key=value", "'hidden'"]),
        ("train vae --set model.name=gan", ["model.name", "'gan'", "'vae'"]),
        ("train vae --config missing.yaml", ["cannot read missing.yaml", "No such file"]),
        ("train vae --dataset folder:missing", ["missing"]),
        ("sweep quikstart", ["quikstart is not there", "did you mean 'quickstart'?"]),
        ("sweep .", ["cannot read .", "directory"]),
        ("evaluate missing", ["missing is not a run", "not a folder"]),
        ("sample missing", ["missing is not a run"]),
        ("sample missing --out samples.gif", [".png or .npz", "'samples.gif'"]),
        ("sample missing --num many", ["--num", "integer"]),
        ("compare", ["Missing argument"]),
        ("compare missing", ["missing"]),
    ],
)
def test_argument(arguments: str, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    error = refused(arguments.split(), capfd)
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["vea"]}, ["'vea' is not a model", "did you mean 'vae'?"]),
        ({"experiment": {"dataset": "mnits"}}, ["'mnits'", "did you mean 'mnist'?"]),
        ({"experiment": {"epoch": 1}}, ["epoch", "unknown key", "did you mean 'epochs'?"]),
        ({"experiment": {"batch_size": 5000}}, ["batch_size must be <=", "n=1168"]),
        ({"trails": 3}, ["trails", "did you mean 'trials'?"]),
        ({"trials": 0}, ["trials", "greater than 0", "got 0"]),
        ({"optuna": {"sampler": "tpee"}}, ["'tpee' is not a sampler", "did you mean 'tpe'?"]),
        ({"objective": {"metric": "frechte"}}, ["'frechte'", "did you mean 'frechet'?"]),
        ({"scheduler": "ashaa"}, ["'ashaa' is not a scheduler", "did you mean 'asha"]),
        ({"search": {"model.hiden": {"choice": [1]}}}, ["hiden", "did you mean 'hidden'?"]),
        ({"search": {"model.hidden": {"choise": [1]}}}, ["choise", "'choice'"]),
        ({"search": {"model.hidden": {"choice": []}}}, ["model.hidden"]),
        ({"search": {"model.hidden": {"choice": [16, 0]}}}, ["model.hidden", "got 0"]),
        ({"search": {"model.hidden": {"int": [64, 16]}}}, ["model.hidden", "64", "16"]),
        ({"search": {"model.dropout": {"uniform": [0.5, 0.1]}}}, ["model.dropout", "0.5", "0.1"]),
        ({"search": {"model.dropout": {"uniform": [0.5, 1.5]}}}, ["model.dropout", "1.5"]),
        ({"search": {"optimizer.learning_rate": {"loguniform": [0, 0.1]}}}, ["optimizer.learning_rate", "0"]),
        ({"search": {"model.hidden": {"uniform": ["a", "b"]}}}, ["model.hidden", "'a'"]),
        ({"search": {"dataset": {"choice": ["digits"]}}}, ["'dataset' cannot be searched"]),
        ({"model_search": {"gan": {"model.dropout": {"uniform": [0, 0.5]}}}}, ["'gan' is not among models"]),
    ],
)
def test_search_space(changes: dict[str, object], words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    write_space(**changes)
    error = refused(["sweep", "space.yaml", "--out", "out"], capfd)
    for word in words:
        assert word in error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_model_that_does_not_fit_into_memory(
    error: Exception, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("torch.nn.init.normal_", full)
    line = refused(["train", "vae", "--set", "model.hidden=4000", "--set", "epochs=1"], capfd)
    assert "model.hidden=4000, model.latent=20 for images of 8 x 8; lower these" in line


def test_images_that_do_not_fit_into_memory(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genray.data.resize.memory_bytes", lambda: 2**20)
    assert "image_size: 1168 images of 64 x 64 must" in refused(["train", "vae", "--set", "image_size=64"], capfd)


def test_seeds_of_finalists_are_bounded_before_the_search(digits: Dataset) -> None:
    sweep = Sweep.parse(SPACE | {"experiment": {"dataset": "digits", "seed": 2**32 - 1}})
    with pytest.raises(UserError, match=r"got 4294967300; lower experiment\.seed"):
        check_sweep(sweep, digits.training_data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\n\ttrials: 2\n", ["space.yaml, line 2", "\\t"]),
        ("trials: 2\nname: a\ntrials: 3\n", ["space.yaml, line 3", "'trials' stands twice"]),
        ("name: !!python/object/apply:os.system ['touch hacked']\n", ["space.yaml, line 1", "python/object"]),
        ("[1, 2]\n", ["must hold a mapping", "list"]),
        ("name: [a\n", ["space.yaml, line"]),
        (BOMB, ["space.yaml, line", "100000 values"]),
        ("\xff\xfe", ["space.yaml"]),
    ],
)
@pytest.mark.parametrize("command", ["sweep space.yaml", "train vae --config space.yaml"])
def test_yaml(command: str, text: str, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    write_space(text)
    error = refused(command.split(), capfd)
    for word in words:
        assert word in error


@pytest.mark.parametrize("place", ["/proc/genray", "/dev/null/genray", "file/below"])
@pytest.mark.parametrize("command", ["train vae --set epochs=1", "sweep space.yaml"])
def test_place_that_cannot_be_written(command: str, place: str, capfd: pytest.CaptureFixture[str]) -> None:
    write_space()
    Path("file").touch()
    error = refused([*command.split(), "--out", place], capfd)
    assert f"cannot write the {'run' if 'train' in command else 'sweep'} to " in error
    assert "give another folder with --out" in error


def test_folder_of_something_else(capfd: pytest.CaptureFixture[str]) -> None:
    write_space()
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    for command in ("train vae", "sweep space.yaml"):
        assert "give another folder with --out" in refused([*command.split(), "--out", "mine"], capfd)
    assert "mine" in refused(["compare", "mine"], capfd)
    assert "holds no experiment.yaml" in refused(["evaluate", "mine"], capfd)


def test_sweep_and_run_do_not_take_each_others_folder(capfd: pytest.CaptureFixture[str]) -> None:
    write_space()
    for folder, file in (("sweep", "sweep.yaml"), ("run", "experiment.yaml")):
        Path(folder).mkdir()
        Path(folder, file).write_text("model: {name: vae}\n")
    for extra in ([], ["--resume"]):
        assert "is not a run" in refused(["train", "vae", "--out", "sweep", *extra], capfd)
        assert "is not a sweep" in refused(["sweep", "space.yaml", "--out", "run", *extra], capfd)


def test_run_of_another_experiment(capfd: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/experiment.yaml").write_text("model: {name: vae}\n")
    assert "holds a run already" in refused(["train", "vae", "--out", "run"], capfd)
    error = refused(["train", "vae", "--out", "run", "--resume", "--set", "seed=1", "--set", "epochs=7"], capfd)
    assert "another experiment, which differs in epochs, seed" in error


def test_run_that_is_not_there_is_not_gone_on_with(capfd: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    for folder in ("typo", "empty"):
        error = refused(["train", "vae", "--out", folder, "--resume", "--set", "epochs=1"], capfd)
        assert f"{folder} holds no run to go on with; leave out --resume, or give its folder with --out" in error


def test_half_written_run(capfd: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/experiment.yaml").write_text("model: {name: vae, hid")
    for command in ("evaluate run", "sample run", "train vae --out run --resume"):
        assert "experiment.yaml, line 1: not valid YAML" in refused(command.split(), capfd)
    Path("run/experiment.yaml").write_text("model: {name: vae}\n")
    for command in ("evaluate run", "sample run"):
        assert "checkpoint" in refused(command.split(), capfd)
    assert "genray evaluate" in refused(["compare", "run"], capfd)
    Path("run/checkpoint").mkdir()
    Path("run/checkpoint/state.pt").write_bytes(b"PK\x03\x04 half")
    for command in ("evaluate run", "sample run"):
        assert "cannot be read as a checkpoint" in refused(command.split(), capfd)


def test_sweep_of_another_space(capfd: pytest.CaptureFixture[str]) -> None:
    write_space()
    Path("out").mkdir()
    Path("out/sweep.yaml").write_text(Path("space.yaml").read_text())
    assert "holds a sweep already" in refused(["sweep", "space.yaml", "--out", "out"], capfd)
    error = refused(["sweep", "space.yaml", "--out", "out", "--resume", "--set", "experiment.epochs=9"], capfd)
    assert "experiment.epochs" in error
    assert "holds no sweep" in refused(["sweep", "space.yaml", "--out", "new", "--resume"], capfd)


def test_images(capfd: pytest.CaptureFixture[str]) -> None:
    Path("images").mkdir()
    assert "no images" in refused(["train", "vae", "--dataset", "folder:images"], capfd)
    for i in range(40):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(f"images/{i}.png")
    Path("images/7.png").write_bytes(b"not a picture")
    assert "7.png" in refused(["train", "vae", "--dataset", "folder:images"], capfd)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("study", ["Missing argument 'NAME'", "study --help"]),
        (
            "study optimal_discriminatr",
            ["'optimal_discriminatr' is not a study", "did you mean 'optimal_discriminator'?"],
        ),
        ("study base", ["'base' is not a study"]),
        ("study optimal_discriminator --budget big", ["budget must be quick or full", "'big'"]),
        ("study optimal_discriminator --resume", ["holds no study to go on with", "--out"]),
        ("study optimal_discriminator --out /proc/genray", ["cannot write the study to /proc/genray", "--out"]),
        ("study optimal_discriminator --out file", ["file is there and is not a study", "--out"]),
    ],
)
def test_study(arguments: str, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    error = refused(arguments.split(), capfd)
    for word in words:
        assert word in error


def test_study_of_another_folder(capfd: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/study.yaml").write_text("study: optimal_discriminator\nbudget: full\n")
    assert "holds a study already" in refused(["study", "optimal_discriminator", "--out", "out"], capfd)
    error = refused(["study", "optimal_discriminator", "--out", "out", "--resume"], capfd)
    assert "budget is 'full', got 'quick'" in error
    assert "is not a run" in refused(["train", "vae", "--out", "out", "--resume"], capfd)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "train discrete_vae --set model.estimator=reparameterization",
            [
                "'reparameterization' needs codes with a derivative",
                "take score_function, control_variate or leave_one_out",
            ],
        ),
        (
            "train discrete_vae --set model.num_draws=1",
            ["'leave_one_out' needs at least 2 draws, got num_draws=1", "raise num_draws"],
        ),
        (
            "train vae --set model.estimator=control_variate --set model.num_draws=1",
            ["'control_variate' needs at least 2 draws", "raise num_draws"],
        ),
        ("train vae --set model.estimator=rloo", ["model.estimator", "'leave_one_out'", "got 'rloo'"]),
    ],
)
def test_estimator(arguments: str, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    error = refused(arguments.split(), capfd)
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train gan --set model.loss=wasserstein", ["model.loss", "'wgan_gp' or 'hinge'", "got 'wasserstein'"]),
        (
            "train gan --set model.loss=hinge --set model.label_smoothing=0.1",
            ["label_smoothing goes with a logistic loss, got loss='hinge'", "leave it out"],
        ),
        (
            "train gan --set model.loss=wgan_gp --set model.r1_weight=1",
            ["r1_weight draws the slope to 0", "r1_weight=1", "set it to 0"],
        ),
        ("train gan --set model.packing=0", ["model.packing", "greater than 0, got 0"]),
        ("train progan --set image_size=3", ["begins at 4 x 4 pixels, got images of 3 x 3", "image_size"]),
        (
            "train progan --set model.batch_norm=generator",
            ["one normalization a network", "batch_norm='generator'", "set pixel_norm to false"],
        ),
        (
            "train progan --set model.pixel_norm=false --set model.batch_norm=both --set model.loss=wgan_gp",
            ["batch_norm in the critic", "batch_norm='both', loss='wgan_gp'", "set batch_norm to generator"],
        ),
        ("train progan --set model.network=mlp", ["model.network", "'conv', got 'mlp'"]),
    ],
)
def test_adversarial(arguments: str, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    error = refused(arguments.split(), capfd)
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train joint_vae --set model.views=quarters", ["model.views", "'halves'", "got 'quarters'"]),
        (
            "train joint_vae --set model.views=halves --set model.network=conv",
            ["network conv needs images of at least 8 x 8, got 4 x 8", "take mlp"],
        ),
        (
            "train joint_vae --set model.binarized=true --set model.likelihood=gaussian",
            ["binarized pixels are 0 or 1, got likelihood='gaussian'", "set likelihood to bernoulli"],
        ),
        (
            "train joint_vae --set model.binarized=true --set model.views=recoloured",
            ["binarized pixels have no other colour, got views='recoloured'", "set binarized to false"],
        ),
        ("train joint_vae --set model.alpha=0", ["model.alpha", "greater than 0", "got 0"]),
        ("train joint_vae --dataset folder:unlabelled", ["needs a dataset with labels", "set model.views to halves"]),
    ],
)
def test_views(arguments: str, words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    Path("unlabelled").mkdir()
    for i in range(80):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(f"unlabelled/{i}.png")
    error = refused([*arguments.split(), "--set", "batch_size=8"], capfd)
    for word in words:
        assert word in error
