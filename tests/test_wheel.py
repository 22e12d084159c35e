"""What `pip install` of the wheel gives, without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from genray.arguments import SEARCH_SPACES

ROOT = Path(__file__).parents[1]
TINY = ["--trials", "1", "--set", "experiment.epochs=2", "--set", "finalists.seeds=1", "--set", "models=[vae]"]


PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "source")], check=True)
    build = ["wheel", str(folder / "source"), "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*PIP, *build], check=True)
    [wheel] = folder.glob("genray-*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With genray from its wheel alone, and what it needs from where the tests have it."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    [site] = environment.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")  # whose own .pth files are not read
    python = [str(environment / "bin" / "python"), *PIP[1:]]
    subprocess.run([*python, "install", "--no-deps", "--ignore-installed", str(wheel)], check=True)
    return environment


def said(python: list[str], folder: Path) -> list[str]:
    """Where that Python finds genray, and which search spaces it then has."""
    code = "import genray.arguments as a; print(a.__file__); print(*sorted(p.name for p in a.SEARCH_SPACES.iterdir()))"
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [*python, "-c", code]
    done = subprocess.run(command, check=True, cwd=folder, env=variables, capture_output=True, text=True)
    return done.stdout.splitlines()


def genray(environment: Path, folder: Path, *arguments: str) -> str:
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(environment / "bin" / "genray"), *arguments]
    done = subprocess.run(command, check=False, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_the_wheels_own_and_brings_all_search_spaces(environment: Path, tmp_path: Path) -> None:
    told = said([str(environment / "bin" / "python")], tmp_path)
    assert Path(told[0]).is_relative_to(environment)
    assert told[1].split() == sorted(path.name for path in SEARCH_SPACES.iterdir())


def test_a_folder_that_it_is_installed_into_has_all_search_spaces_too(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    told = said(["env", f"PYTHONPATH={target}", sys.executable], tmp_path)
    assert Path(told[0]).is_relative_to(target)
    assert told[1].split() == sorted(path.name for path in (ROOT / "search_spaces").iterdir())
    assert (target / "genray/py.typed").is_file()


@pytest.mark.ray
def test_the_demos_sweep_ends_with_its_page(environment: Path, tmp_path: Path) -> None:
    genray(environment, tmp_path, "sweep", "quickstart", *TINY)
    comparison = json.loads((tmp_path / "runs/quickstart/comparison/comparison.json").read_text())
    assert [row["model"] for row in comparison["rows"]] == ["vae"]
    assert "<table" in (tmp_path / "runs/quickstart/comparison/index.html").read_text()
