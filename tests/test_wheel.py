"""What `pip install` of the wheel gives, without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
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


@pytest.fixture
def environment_of_its_own(wheel: Path, tmp_path: Path) -> Iterator[Path]:
    """Empty, but for the wheel and what pip finds that it needs, all of it fetched: 6 GB, which go again."""
    environment = tmp_path / "environment"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = [str(environment / "bin" / "python"), *PIP[1:]]
        install = ["install", "--no-cache-dir", "-c", str(ROOT / "constraints.txt"), str(wheel)]
        subprocess.run([*python, *install], check=True, cwd=tmp_path)
        subprocess.run([*python, "check"], check=True, cwd=tmp_path)
        yield environment
    finally:
        shutil.rmtree(environment)


def said(python: list[str], folder: Path) -> list[str]:
    """Where that Python finds genray, and which search spaces it then has."""
    code = "import genray.arguments as a; print(a.__file__); print(*sorted(p.name for p in a.SEARCH_SPACES.iterdir()))"
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [*python, "-c", code]
    done = subprocess.run(command, check=True, cwd=folder, env=variables, capture_output=True, text=True)
    return done.stdout.splitlines()


def genray(environment: Path, folder: Path, *arguments: str, timeout_s: float = 300) -> str:
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(environment / "bin" / "genray"), *arguments]
    done = subprocess.run(
        command, check=False, cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout_s
    )
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


@pytest.mark.ray
@pytest.mark.nightly
@pytest.mark.timeout(7200)  # beside other work on 2 cores the installation took 15 min, and the demo 22
def test_the_wheel_and_what_pip_finds_that_it_needs_do_the_demo(
    environment_of_its_own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that is empty, with nothing kept from before, and all of the demo: four models, eight trials each."""
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "empty"
    folder.mkdir()
    [module, _] = said([str(environment_of_its_own / "bin" / "python")], folder)
    assert Path(module).is_relative_to(environment_of_its_own)
    table = genray(environment_of_its_own, folder, "sweep", "quickstart", timeout_s=3600)
    comparison = json.loads((folder / "runs/quickstart/comparison/comparison.json").read_text())
    models = {row["model"] for row in comparison["rows"]}
    assert models == {"vae", "gan", "vae_gan", "aae"}
    assert all(model in table for model in models)
    assert "<table" in (folder / "runs/quickstart/comparison/index.html").read_text()
