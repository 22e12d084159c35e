"""Damaged files through the real command line: one line that names the file, exit code 2, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from genray import files
from genray.cli import main
from genray.cluster import snapshot
from genray.cluster.snapshot import Snapshot
from genray.controls import rows
from genray.runs import open_run
from tests.report.fabricate import write_run, write_sweep

Damage = Callable[[Path], object]  # done to a folder
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, another of another model, and a sweep; tests copy what they damage."""
    folder = tmp_path_factory.mktemp("whole")
    write_run(folder / "run", "vae")
    write_run(folder / "gan", "gan")
    write_sweep(folder / "sweep", models=("vae",), seeds=2, trials=4)
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(name: str, content: str) -> Damage:
    return lambda folder: (folder / name).write_text(content)


def folder_in_place_of(name: str) -> Damage:
    return lambda folder: ((folder / name).unlink(), (folder / name).mkdir())


def cut(name: str) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:200])


def result(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def settings(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "sweep.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))

    return damage


def flipped_digit(folder: Path) -> None:
    """In a result as it is written, with a checksum."""
    path = folder / "result.json"
    files.write_json(path, files.sealed(json.loads(path.read_text())))
    path.write_text(path.read_text().replace('"num_samples": 360', '"num_samples": 361'))


RESULTS = [
    {"metrics": 5},
    {"metrics": [1]},
    {"metrics": {"frechet": "a"}},
    {"metrics": {"frechet": {}}},
    {"metrics": {"frechet": 10**400}},
    {"num_parameters": "x"},
    {"num_samples": None},
    {"num_samples": True},
    {"train_seconds": "x"},
    {"train_seconds": float("nan")},
    {"sampled_from": 5},
    {"also": "x"},
    {"also": [1]},
    {"also": [{}]},
    {"floor": "x"},
    {"floor": {"frechet": 5}},
    {"extractor": [1]},
    {"versions": "x"},
    {"failed": 3},
    {"metric_versions": 3},
    {"test_reads": "x"},
    {"commit": []},
    {"split": 3},
    {"seed": 99},
    {"experiment": {"model": {"name": "vae"}, "seed": 99}},
    {"experiment": 5},
    {"sha256": "0"},
]
RUNS: list[tuple[str, Damage]] = [
    *[("result.json", result(**changes)) for changes in RESULTS],
    ("result.json", lambda run: shutil.copy(run.parent / "gan" / "result.json", run)),
    ("result.json", flipped_digit),
    ("result.json", folder_in_place_of("result.json")),
    ("result.json", text("result.json", DEEP)),
    ("metrics.jsonl", text("metrics.jsonl", DEEP + "\n")),
    ("metrics.jsonl", text("metrics.jsonl", "{}\n")),
    ("metrics.jsonl", text("metrics.jsonl", '{"epoch": 0, "step": 0, "train_seconds": "x"}\n')),
    ("metrics.jsonl", folder_in_place_of("metrics.jsonl")),
    *[(name, cut(name)) for name in ("samples.png", "codes.png")],
]
SWEEPS: list[tuple[str, Damage]] = [
    *[
        ("sweep.yaml", settings(**{key: value}))
        for key, value in [("models", 5), ("models", [5]), ("models", ["/etc"]), ("objective", "frechet")]
    ],
    *[("sweep.yaml", settings(**{key: 5})) for key in ("search", "scheduler", "optuna", "experiment", "controls")],
    ("finalist_1/result.json", lambda sweep: result(metrics=5)(sweep / "vae" / "finalist_1")),
    (
        "finalist_1/result.json",
        lambda sweep: shutil.copy(sweep.parent / "gan" / "result.json", sweep / "vae" / "finalist_1"),
    ),
]


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    code = main(arguments)
    error = capfd.readouterr().err
    assert code == 2, error
    assert error.startswith("genray: ")
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("kind", "name", "damage"),
    [("run", *case) for case in RUNS] + [("sweep", *case) for case in SWEEPS],
)
def test_damage_is_named_before_anything_is_written(
    kind: str, name: str, damage: Damage, whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for needed in (kind, "gan"):
        shutil.copytree(whole / needed, needed)
    damage(Path(kind).absolute())
    said = refused(["compare", kind, "gan", "--no-controls", "--out", "out"], capfd)
    assert name in said
    if " is damaged: " in said:
        assert said.count("; ") == 1, "one fix: not what to write by hand into what genray wrote"
    assert not Path("out").exists()


def test_result_as_it_is_written_is_read(whole: Path) -> None:
    """With its checksum, with keys that are not known here, and after other tools have sorted its keys."""
    shutil.copytree(whole / "run", "run")
    path = Path("run/result.json")
    content = files.sealed(json.loads(path.read_text()) | {"of_a_later_genray": {"elbo": "why"}})
    path.write_text(json.dumps(content, sort_keys=True))
    assert main(["compare", "run", "--no-controls", "--out", "out"]) == 0


def test_frame_of_no_epoch_is_left_out(whole: Path) -> None:
    shutil.copytree(whole / "run", "run")
    shutil.copy("run/frames/00010.webp", "run/frames/1abc.webp")
    assert list(open_run("run").frames) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("command", ["sample run --out", "evaluate"])
def test_too_long_a_name(command: str, whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(whole / "run", "run")
    assert "give a shorter name" in refused([*command.split(), "a" * 300 + ".png"], capfd)


@pytest.mark.parametrize("content", ["{", "{}", "[]", "5", '{"rows": 5}', '{"rows": [{}]}', DEEP])
def test_watch_names_a_damaged_comparison(content: str, whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(whole / "sweep", "sweep")
    snapshot.write(Path("sweep"), Snapshot("finished", 1.0))
    Path("sweep/comparison").mkdir()
    text("comparison.json", content)(Path("sweep/comparison"))
    error = refused(["watch", "sweep"], capfd)
    assert "sweep/comparison/comparison.json is damaged" in error
    assert "genray compare sweep" in error


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '[{"control": 5}]', '{"rows": [], "sha256": "0"}', DEEP])
def test_damaged_rows_of_controls_are_made_anew(content: str, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [{"control": "pca"}]
    monkeypatch.setenv("GENRAY_CACHE", str(Path("cache").absolute()))
    monkeypatch.setattr(rows, "_dataset", lambda *_: None)
    monkeypatch.setattr(rows, "_judge", lambda *_: None)
    monkeypatch.setattr(rows, "score", lambda *_: made)
    run = open_run(whole / "run")
    assert run.result is not None
    given = run.experiment, run.result, ["frechet"]
    rows.control_rows(*given)
    [path] = Path("cache").rglob("rows.json")
    path.write_text(content)
    assert rows.control_rows(*given) == made
    monkeypatch.setattr(rows, "score", lambda *_: pytest.fail("what is whole is kept"))
    assert rows.control_rows(*given) == made
