"""What runs the benchmarks, on a folder of stand-ins; and that what genray is timed against computes the same."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks import bare_loops
from benchmarks.common import hardware
from genray.config import Experiment
from genray.data.datasets import load
from genray.models.base import build
from genray.train.distributed import Distributed
from genray.train.trainer import make_trainer

GOOD = 'def main() -> None:\n    print("# Speed\\n\\n| 3 |")\n\nmain()\n'
BAD = 'def main() -> None:\n    print("| half")\n    raise SystemExit(3)\n\nmain()\n'


ELSEWHERE = 'import sys\n\ndef main() -> None:\n    print("needs what is not here", file=sys.stderr)\n\nmain()\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "stand_ins"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "common.py").write_text("def shared() -> None: ...\n")
    for name, text in (("bad", BAD), ("fast", GOOD), ("other", GOOD)):
        (folder / f"{name}.py").write_text(text)
    return folder


def reports(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.md")}


def test_all_run_and_one_that_fails_leaves_no_report(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.main([], folder) == 1
    end = f"{hardware()}_{time.strftime('%Y-%m-%d')}.md"
    assert reports(folder) == {f"fast_{end}": "# Speed\n\n| 3 |\n", f"other_{end}": "# Speed\n\n| 3 |\n"}
    assert capfd.readouterr().err.endswith("launch/bench: failed: bad\n")


def test_those_named_run_alone(folder: Path) -> None:
    assert bench.main(["other"], folder) == 0
    assert [name.partition("_")[0] for name in reports(folder)] == ["other"]


def test_one_that_needs_what_is_not_here_is_passed_over(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "elsewhere.py").write_text(ELSEWHERE)
    assert bench.main(["elsewhere", "fast"], folder) == 0
    assert [name.partition("_")[0] for name in reports(folder)] == ["fast"]
    assert "needs what is not here" in capfd.readouterr().err


def test_what_takes_hours_runs_only_when_named(folder: Path) -> None:
    (folder / "bad.py").unlink()
    (folder / "long_run.py").write_text(GOOD)
    assert bench.main([], folder) == 0
    assert sorted(name.partition("_")[0] for name in reports(folder)) == ["fast", "other"]
    assert bench.main(["long_run"], folder) == 0
    assert len(reports(folder)) == 3
    assert set(bench.names(bench.FOLDER)) >= bench.WHEN_NAMED


def test_steps_on_a_gpu_are_passed_over_without_one(tmp_path: Path) -> None:
    """The real script, where no device is visible: a line, no report, no failure."""
    command = [sys.executable, "-m", "benchmarks.gpu_steps"]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "GENRAY_DATA": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=bench.FOLDER.parent, env=hidden)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "gpu_steps is passed over: it needs a CUDA device, and there is none\n"


def test_prdc_is_measured_on_as_many_features_as_asked_for() -> None:
    options = ["--images", "600", "--repeats", "1", "--features", "40"]
    command = [sys.executable, "-m", "benchmarks.prdc", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bench.FOLDER.parent, check=True)
    assert "600 x 600 features of 40 dimensions" in done.stdout


def test_a_name_that_is_none_is_refused_before_any_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["fast", "common"], folder) == 2
    assert capsys.readouterr().err == "launch/bench: 'common' is no benchmark; there are bad, fast, other\n"
    assert not reports(folder)


def test_each_benchmark_has_a_line_in_the_list() -> None:
    listed = (bench.FOLDER / "README.md").read_text()
    for name in bench.names(bench.FOLDER):
        assert f"-m benchmarks.{name} " in listed


@pytest.mark.parametrize("name", bare_loops.STEPS)
def test_a_bare_loop_moves_the_weights_as_genray_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every draw is 0 and nothing is dropped, so that neither has noise of its own."""
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: torch.zeros(*shape))
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    model = {"name": name, "hidden": 16, "latent": 3, "dropout": 0.0}
    experiment = Experiment.parse({"dataset": "digits", "batch_size": 32, "metrics": [], "model": model})
    data = load("digits").training_data
    trainer = make_trainer(experiment, data, Distributed.single())
    bare = build(experiment.model, data.spec, experiment.seed)
    before = torch.cat([p.detach().flatten() for p in bare.parameters()])
    step = bare_loops.STEPS[name](bare, bare_loops.adam)
    for number in range(3):
        step(trainer.batches[number]["image"])
        trainer.train_step(number)
    found, expected = (torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (trainer.model, bare))
    moved = (expected - before).abs().mean()
    assert moved > 1e-3
    assert (found - expected).abs().mean() < 1e-3 * moved
