import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

import genray
from genray import provenance


@pytest.fixture(autouse=True)
def _forget() -> None:
    provenance.commit.cache_clear()


def test_versions_are_those_installed() -> None:
    assert provenance.versions()["ray"] == version("ray")
    assert provenance.versions()["genray"] == genray.__version__


def test_the_commit_is_gits(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "genray"
    package.mkdir()
    (package / "__init__.py").touch()

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    git("tag", "v1")
    head = git("rev-parse", "HEAD").strip()
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    assert provenance.commit() == head
    (package / "__init__.py").write_text("changed = 1\n")
    provenance.commit.cache_clear()
    assert provenance.commit() == f"{head}-dirty"
    assert re.fullmatch("[0-9a-f]{40}", head)


def test_outside_a_checkout_there_is_none(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "genray" / "provenance.py"))
    assert provenance.commit() is None
