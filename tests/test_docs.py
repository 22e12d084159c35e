"""What the documents say is done here as they say it."""

import re
import shlex
from pathlib import Path

import pytest

import genray
from genray import models
from genray.arguments import sweep_of
from genray.cli import main
from genray.config import Experiment
from genray.files import parse_yaml
from genray.space import Sweep

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def test_yaml_of_the_readme_is_valid() -> None:
    experiment, space = [parse_yaml(block, "README.md") for block in blocks("README.md", "yaml")]
    assert Experiment.parse(experiment).model.name == "vae"
    assert Sweep.parse(space).num_trials == 16


def test_commands_of_the_documents_take_the_arguments_that_they_are_shown_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--help` at the end parses all that stands before it."""
    documents = (ROOT / "README.md").read_text() + (ROOT / "genray/cli.py").read_text()
    lines = re.findall(r"^ *(?:\.venv/bin/)?genray (\w.*?)(?: *#.*)?$", documents, re.MULTILINE)
    assert len(lines) >= 15
    for line in lines:
        assert main([*shlex.split(line), "--help"]) == 0, capsys.readouterr().err
        for space in re.findall(r"\S+\.yaml", line):
            assert space.startswith("runs/") or sweep_of(ROOT / space)


def test_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [text] = blocks("README.md", "python")
    names: dict[str, object] = {}
    exec(text.replace('"epochs": 20', '"epochs": 2, "num_samples": 64'), names)  # noqa: S102
    assert isinstance(names["comparison"], dict)
    assert names["comparison"]["rows"][0]["model"] == "vae"
    assert (tmp_path / "runs/page/index.html").exists()
    assert names["genray"] is genray


def test_model_of_contributing_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file alone makes a model that trains; better than untrained after a few epochs. Its space is valid."""
    [source], [space] = blocks("CONTRIBUTING.md", "python"), blocks("CONTRIBUTING.md", "yaml")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/gmmn.py").write_text(source)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path / "models")])
    monkeypatch.chdir(tmp_path)
    assert Sweep.parse(parse_yaml(space, "CONTRIBUTING.md")).models == ("gmmn",)
    assert main(["train", "gmmn", "--set", "epochs=5", "--set", "metrics=[frechet]", "--out", "run"]) == 0
    history = genray.runs.open_run("run").history
    assert history[-1]["validation/frechet"] < 0.8 * history[0]["validation/frechet"]
