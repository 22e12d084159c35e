"""Folders of other versions of genray: an older one is read, a newer one refused by every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from genray import schema
from genray.cluster import folder
from genray.config import Experiment
from genray.runs import create_run, open_run
from genray.space import Sweep
from tests.report.fabricate import collect, write_run, write_sweep
from tests.test_bad_input import SPACE, refused

EXPERIMENT = Experiment.parse({"model": {"name": "vae", "hidden": 16}})


def test_new_folders_say_their_version_in_the_file_by_which_they_are_known(tmp_path: Path) -> None:
    run, sweep = create_run(tmp_path / "run", EXPERIMENT), Sweep.parse(SPACE)
    with folder.opened(tmp_path / "sweep", sweep):
        pass
    for path, asked in ((run.path / "experiment.yaml", EXPERIMENT), (tmp_path / "sweep/sweep.yaml", sweep)):
        written = yaml.safe_load(path.read_text())
        assert written.pop("schema") == schema.VERSION == 1
        assert written.pop("id", 0) == schema.id_of(path.parent)
        assert written == asked.plain()
    assert open_run(run.path).experiment == EXPERIMENT
    assert Sweep.load(tmp_path / "sweep/sweep.yaml") == sweep


def test_a_sweep_keeps_its_id_and_no_other_gets_it(tmp_path: Path) -> None:
    sweep, ids = Sweep.parse(SPACE), set[int]()
    for name in ("one", "one", "other"):
        with folder.opened(tmp_path / name, sweep):
            ids.add(schema.id_of(tmp_path / name))
        sweep = Sweep.load(tmp_path / "one" / "sweep.yaml")
    assert len(ids) == 2
    assert 0 not in ids


@pytest.mark.parametrize("id_", ["true", "1.0", "two", "null", "[1]", "-1", "4294967296"])
@pytest.mark.parametrize("command", ["compare sweep", "sweep sweep/sweep.yaml --out other"])
def test_what_is_no_id_is_refused(
    command: str, id_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_sweep(Path("sweep"), models=("vae",), seeds=1) / "sweep.yaml"
    path.write_text(f"id: {id_}\n{path.read_text()}")
    said = refused(command.split(), capfd)
    assert f"id must be the number that `genray sweep` writes into sweep.yaml, got {yaml.safe_load(id_)!r}; put" in said


def test_folders_without_a_version_are_of_the_first(tmp_path: Path) -> None:
    run, sweep = write_run(tmp_path / "run", "vae"), write_sweep(tmp_path / "sweep", models=("gan",), seeds=2)
    for path in (run / "experiment.yaml", sweep / "sweep.yaml"):
        assert "schema" not in path.read_text()
    assert {group.model: len(group.entries) for group in collect([run, sweep]).groups} == {"vae": 1, "gan": 2}


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run and a sweep of schema 2, which change a key's meaning and bring a new one."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("run"), "vae")
    write_sweep(Path("sweep"), models=("vae",), seeds=1)
    Path("space.yaml").write_text(yaml.safe_dump(SPACE))
    for path in (Path("run/experiment.yaml"), Path("sweep/sweep.yaml")):
        path.write_text("schema: 2\nwarmth: high\n" + path.read_text())


@pytest.mark.usefixtures("newer")
@pytest.mark.parametrize(
    "command",
    [
        "train vae --out run --resume",
        "train vae --config run/experiment.yaml --out other",
        "evaluate run",
        "sample run",
        "export run",
        "compare run",
        "compare sweep",
        "sweep space.yaml --out sweep --resume",
        "sweep sweep/sweep.yaml --out other",
    ],
)
def test_a_newer_folder_is_refused(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    error = refused(command.split(), capfd)
    place = "sweep/sweep.yaml" if "sweep" in command else "run/experiment.yaml"
    assert f"{Path(place).parent}: schema in {Path(place).name}" in error
    assert "at most 1, got 2; read the folder with a newer genray" in error


@pytest.mark.parametrize("version", ["0", "true", "1.0", "two", "null", "[1]"])
def test_what_is_no_version_is_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_run(Path("run"), "vae") / "experiment.yaml"
    path.write_text(f"schema: {version}\n{path.read_text()}")
    assert f"got {yaml.safe_load(version)!r}" in refused(["evaluate", "run"], capfd)
