"""The command line from outside: what it prints, what it leaves, how it ends."""

import re
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import genray
from genray import console, models, single
from genray.cli import app, main
from genray.config import Experiment
from genray.errors import Fault
from genray.runs import Run
from tests.report.fabricate import write_run

COMMANDS = ("models", "datasets", "train", "sweep", "watch", "estimate", "doctor", "evaluate", "compare", "sample")
COMMANDS += ("studies", "study", "export")
QUICK = ("--set", "epochs=2", "--set", "evaluate_every=1", "--set", "num_samples=64", "--set", "metrics=[frechet,prdc]")


def run(*arguments: str) -> int:
    return main(arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE after two epochs, trained by the command."""
    folder = tmp_path_factory.mktemp("trained") / "vae"
    assert run("train", "vae", *QUICK, "--out", str(folder)) == 0
    return folder


def modules_after(code: str) -> set[str]:
    code = f"import sys; {code}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_help_waits_for_nothing_heavy() -> None:
    loaded = modules_after("from genray.cli import main; main(['--help'])")
    assert not loaded & {"torch", "ray", "optuna", "numpy", "pydantic", "sklearn", "plotly"}


def test_an_evaluation_waits_for_no_library_that_it_can_do_without(tmp_path: Path) -> None:
    run = f"['train', 'vae', '--set', 'epochs=1', '--set', 'model.hidden=4', '--out', '{tmp_path}/run']"
    loaded = modules_after(f"from genray.cli import main; main({run})")
    assert "genray.metrics.frechet" in loaded
    assert not loaded & {"torchmetrics", "torchvision", "ray", "plotly"}


def test_metrics_wait_for_no_library_of_statistics() -> None:
    loaded = modules_after(
        "from genray.evaluation import floor; from genray.metrics import frechet, kernel, memorization"
    )
    assert not loaded & {"scipy.stats", "sklearn", "torchmetrics"}


def test_package_imports_nothing_heavy() -> None:
    assert not modules_after("import genray") & {"torch", "ray", "optuna", "numpy", "pydantic", "typer"}


def test_function_train_is_not_replaced_by_the_package_of_its_name() -> None:
    from genray.train import loop

    assert genray.train.__module__ == "genray"
    assert loop.train.__module__ == "genray.train.loop"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert re.search(rf"Examples?:\n +genray {command}\b", capsys.readouterr().out)


def test_these_are_all_commands() -> None:
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} == set(COMMANDS)


def test_nothing_given_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "Usage: genray" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"genray {metadata.version('genray')}\n"


def test_models_and_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == models.names()
    assert run("datasets") == 0
    assert re.search(r"^digits +1 x 8 x 8 +1,168 +270 +359 +none ", capsys.readouterr().out, re.MULTILINE)


def test_train_shows_progress_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("train", "gan", *QUICK) == 0
    out, err = capfd.readouterr()
    assert not err
    assert re.search(
        r"^epoch 2/2 .* loss: discriminator [\d.]+, generator [\d.]+ +validation: frechet", out, re.MULTILINE
    )
    assert "runs/gan-digits-0/samples.png" in out
    assert Path("runs/gan-digits-0/samples.png").exists()
    assert re.search(r"genray evaluate runs/gan-digits-0$", out, re.MULTILINE)


def test_commands_to_copy_are_quoted_for_a_shell() -> None:
    folder = Path("runs of mine/vae's")
    shown = console.trained(Run(folder, Experiment.parse({"model": {"name": "vae"}})))
    commands = {line.split("  ")[0]: shlex.split(line.partition("  ")[2]) for line in shown.splitlines()[1:]}
    assert list(commands) == ["curves", "more samples", "score on test"]
    assert all(str(folder) in command for command in commands.values())


def test_resumed_training_is_the_same_training(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by Ctrl-C after its first epoch and resumed, a run gives the samples that it gives in one piece."""
    arguments = ("train", "vae", *QUICK, "--out", str(tmp_path / "vae"))

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(console, "progress", interrupt)
        assert run(*arguments, "--set", "checkpoint_every=1") == 130
    assert run(*arguments, "--set", "checkpoint_every=1", "--resume") == 0
    np.testing.assert_array_equal(genray.sample(tmp_path / "vae", 20), genray.sample(trained, 20))


def test_evaluate_and_compare(trained: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", str(trained)) == 0
    out, err = capfd.readouterr()
    assert not err
    assert re.search(r"^frechet +[\d.]+ +[\d.]+ ± [\d.]+ +lower ", out, re.MULTILINE)
    assert run("compare", str(trained)) == 0
    out, err = capfd.readouterr()
    assert not err
    page = trained.parent / "comparison/index.html"
    assert str(page) in out.replace("\n", "")
    assert page.exists()


def test_compare_datasets(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = [str(write_run(tmp_path / dataset, "vae", dataset=dataset)) for dataset in ("digits", "mnist")]
    assert run("compare", *runs) == 0
    out = capfd.readouterr().out
    assert "digits, test split" in out
    assert "mnist, test split" in out
    assert "all datasets, by Fréchet distance" in out


def test_sample(trained: Path, tmp_path: Path) -> None:
    """The file holds what Python gives; another seed gives other samples."""
    assert run("sample", str(trained), "--num", "30", "--out", str(tmp_path / "a.npz")) == 0
    images = np.load(tmp_path / "a.npz")["images"]
    assert images.shape == (30, 8, 8)
    np.testing.assert_array_equal(images, genray.sample(trained, 30)[:, 0])
    assert (images != genray.sample(trained, 30, seed=1)[:, 0]).any()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Fault("the loss is not finite"), 1, "the loss is not finite; what was done is in run"),
        (
            OSError(5, "Input/output error", "run/metrics.jsonl"),
            1,
            "run/metrics.jsonl: Input/output error; what",
        ),
        (KeyboardInterrupt(), 130, "stopped; what was done is in run: the same command with --resume goes on"),
    ],
)
def test_what_is_not_the_users_fault(
    error: BaseException,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Exit codes of faults and of Ctrl-C; the hint is given only where there is something to go on from."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(single, "train", fail)
    assert run("train", "vae", "--out", "run") == code
    assert "what was done" not in capfd.readouterr().err
    Path("run").mkdir()
    Path("run/experiment.yaml").touch()
    assert run("train", "vae", "--out", "run") == code
    message = capfd.readouterr().err
    assert message.startswith(f"genray: {words}")
    assert message.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_from_outside(tmp_path: Path) -> None:
    """A signal to the process: exit code 130, one line, and the same command with --resume finishes the run."""
    command = [
        sys.executable,
        "-m",
        "genray",
        "train",
        "vae",
        "--set",
        "metrics=[frechet]",
        "--set",
        "checkpoint_every=1",
    ]
    process = subprocess.Popen(
        [*command, "--set", "epochs=100000", "--set", "evaluate_every=1", "--out", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/checkpoint/state.pt").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    said = "genray: stopped; what was done is in run: the same command with --resume goes on from there\n"
    assert err == said
    # once in eight runs Python ended itself by the signal after all was said and saved; a shell shows 130 for both
    assert process.returncode in (130, -signal.SIGINT)
    assert genray.runs.open_run(tmp_path / "run").history


@pytest.mark.ray
@pytest.mark.slow
def test_two_workers_train_as_one(tmp_path: Path) -> None:
    """The same losses from the same global batch, whether one process or two compute the gradients."""
    command = [sys.executable, "-m", "genray", "train", "vae", *QUICK]
    for workers in ("1", "2"):
        done = subprocess.run(
            [*command, "--set", f"workers={workers}", "--out", f"run{workers}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, "")
    one, two = (genray.runs.open_run(tmp_path / f"run{workers}").history for workers in (1, 2))
    for row_of_one, row_of_two in zip(one, two, strict=True):
        losses = {key: value for key, value in row_of_one.items() if key.startswith("train/")}
        assert losses == pytest.approx({key: row_of_two[key] for key in losses}, rel=1e-5)
