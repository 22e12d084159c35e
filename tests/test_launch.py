"""The launchers, on a copy of the folder where `uv` and Python are stand-ins that write down how they were called."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAKE_VENV = r"""
    for folder; do :; done
    mkdir -p "$folder/bin"
    printf '#!/bin/sh\ncase $1 in -m) echo "$@" >>calls ;; esac\n' >"$folder/bin/python"
    printf '#!/bin/sh\necho genray "$@" >>calls\n' >"$folder/bin/genray"
    chmod +x "$folder/bin/genray" "$folder/bin/python"
    echo "version = 3" >"$folder/pyvenv.cfg"
    echo "VIRTUAL_ENV=$PWD/.venv" >"$folder/bin/activate" ;;
"""

TOOLS = (
    "bash",
    "cat",
    "chmod",
    "cut",
    "dirname",
    "env",
    "flock",
    "grep",
    "ln",
    "mkdir",
    "rm",
    "sh",
    "sha256sum",
    "sleep",
)


class Checkout:
    def __init__(self, path: Path) -> None:
        self.path, self.tools = path, path / "tools"
        shutil.copytree(ROOT / "launch", path / "launch")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, path)
        self.tools.mkdir()
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool) or pytest.fail(f"{tool} is missing"))

    def stub(self, name: str, script: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def stub_uv(self, pip: str = ":") -> None:
        self.stub("uv", f'echo "$@" >>calls\ncase $1 in\n  pip) {pip} ;;\n  venv) {MAKE_VENV}\nesac')

    def run(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shlex.split(command),
            cwd=self.path,
            env={"PATH": str(self.tools), **env},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        calls = self.path / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def count(self, word: str) -> int:
        return sum(call.startswith(word) for call in self.calls)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path)
    checkout.stub_uv()
    return checkout


def test_second_setup_installs_nothing(checkout: Checkout) -> None:
    assert checkout.run("launch/setup").returncode == 0
    assert checkout.calls == [
        "venv --python >=3.11,<3.14 .venv",
        "pip install --python .venv/bin/python -c constraints.txt -e .",
    ]
    again = checkout.run("launch/setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(checkout.calls) == 2


def test_setup_for_tests_covers_setup_for_running_but_not_the_other_way(checkout: Checkout) -> None:
    checkout.run("launch/setup")
    checkout.run("launch/setup test")
    assert checkout.calls[-1].endswith("-e .[test]")
    assert checkout.count("venv") == 1
    checkout.run("launch/setup")
    checkout.run("launch/setup test")
    assert checkout.count("pip") == 2


def test_setup_of_a_cloud_covers_setup_for_running_and_setup_for_tests_covers_it(checkout: Checkout) -> None:
    checkout.run("launch/setup aws")
    assert checkout.calls[-1].endswith("-e .[aws]")
    checkout.run("launch/setup")
    assert checkout.count("pip") == 1
    checkout.run("launch/setup gcp")
    checkout.run("launch/setup test")
    checkout.run("launch/setup gcp")
    assert checkout.count("pip") == 3
    assert checkout.run("launch/setup azure").returncode == 2


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".venv/pyvenv.cfg"])
def test_setup_installs_again_after_a_change(checkout: Checkout, name: str) -> None:
    checkout.run("launch/setup")
    with (checkout.path / name).open("a") as file:
        file.write("# changed\n")
    checkout.run("launch/setup")
    assert checkout.count("pip") == 2


def test_interrupted_installation_is_done_again(checkout: Checkout) -> None:
    checkout.run("launch/setup")
    (checkout.path / "constraints.txt").write_text("numpy\n")
    checkout.stub_uv(pip="exit 1")
    assert checkout.run("launch/setup").returncode == 1
    checkout.stub_uv()
    assert checkout.run("launch/setup").returncode == 0
    assert checkout.count("pip") == 3


def test_environment_without_python_or_of_another_folder_is_made_anew(checkout: Checkout) -> None:
    checkout.run("launch/setup")
    (checkout.path / ".venv/bin/python").unlink()
    checkout.run("launch/setup")
    assert checkout.count("venv") == 2
    (checkout.path / ".venv/bin/activate").write_text("VIRTUAL_ENV=/elsewhere/.venv\n")
    (checkout.path / "constraints.txt").write_text("numpy\n")
    checkout.run("launch/setup")
    assert checkout.count("venv") == 3


def test_two_setups_at_once_install_once(checkout: Checkout) -> None:
    checkout.stub_uv(pip="sleep 1")
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(checkout.run, ["launch/setup"] * 2))
    assert [result.returncode for result in results] == [0, 0]
    assert checkout.count("pip") == 1


def test_setup_finds_a_python_that_can_make_environments(checkout: Checkout) -> None:
    (checkout.tools / "uv").unlink()
    checkout.stub("python3", "exit 1")  # too old
    checkout.stub("python3.13", 'case "$*" in *ensurepip*) exit 1 ;; esac')  # without its venv module
    checkout.stub("python3.12", f'case $1 in\n  -m) echo "$@" >>calls\n {MAKE_VENV}\nesac')
    result = checkout.run("launch/setup")
    assert result.returncode == 0, result.stderr
    assert checkout.calls[0] == "-m venv .venv"
    assert checkout.calls[-1] == "-m pip install --disable-pip-version-check -c constraints.txt -e ."


@pytest.mark.parametrize(
    ("python3", "words"),
    [
        ("exit 127", ["needs Python 3.11, 3.12 or 3.13", "found none", "apt-get install python3 python3-venv"]),
        ('case "$1" in -c) exit 1 ;; esac; echo Python 3.9.2', ["found Python 3.9.2"]),
        ('case "$*" in *ensurepip*) exit 1 ;; esac', ["apt-get install python3-venv", "install uv"]),
    ],
)
def test_setup_says_what_to_install(checkout: Checkout, python3: str, words: list[str]) -> None:
    (checkout.tools / "uv").unlink()
    checkout.stub("python3", python3)
    result = checkout.run("launch/setup")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr
    assert not (checkout.path / ".venv").exists()


def test_setup_takes_an_environment_that_is_there(checkout: Checkout) -> None:
    for command in ("launch/setup", "launch/setup test", "launch/setup"):
        result = checkout.run(command, GENRAY_VENV=sys.prefix)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (checkout.path / ".venv").readlink() == Path(sys.prefix)
    assert checkout.calls == []
    checkout.run("launch/setup")  # without it: an environment of its own, in place of the link
    assert checkout.count("venv") == 1
    assert not (checkout.path / ".venv").is_symlink()
    assert (Path(sys.prefix) / "bin/python").exists()


def test_setup_refuses_an_environment_with_other_versions(checkout: Checkout) -> None:
    constraints = checkout.path / "constraints.txt"
    constraints.write_text(re.sub(r"(?m)^ray==.*$", "ray==1.0.0", constraints.read_text()))
    result = checkout.run("launch/setup", GENRAY_VENV=sys.prefix)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    for words in (
        f"GENRAY_VENV={sys.prefix} cannot be used",
        "it has ray 2.",
        "constraints.txt says 1.0.0",
        "pip install",
    ):
        assert words in result.stderr
    assert not (checkout.path / ".venv").exists()


def test_setup_refuses_an_environment_without_genray_or_python(checkout: Checkout) -> None:
    (checkout.path / "empty").mkdir()
    assert "it has no bin/python" in checkout.run("launch/setup", GENRAY_VENV="empty").stderr
    base = Path(sys.base_prefix)
    (checkout.path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["no-such-package>=1"]\n[project.optional-dependencies]\n'
    )
    assert "it has no " in checkout.run("launch/setup", GENRAY_VENV=str(base)).stderr


def test_setup_does_not_remove_an_environment_for_another(checkout: Checkout) -> None:
    checkout.run("launch/setup")
    result = checkout.run("launch/setup", GENRAY_VENV=sys.prefix)
    assert result.returncode == 1
    assert "is an environment of its own; remove it, or unset GENRAY_VENV" in result.stderr
    assert (checkout.path / ".venv/pyvenv.cfg").exists()


def test_demo_goes_on_with_the_sweep_that_is_there(checkout: Checkout) -> None:
    sweep = "genray sweep search_spaces/quickstart.yaml --out runs/quickstart"
    checkout.run("launch/demo --trials 3")
    assert checkout.calls[-1] == f"{sweep} --trials 3"
    (checkout.path / "runs/quickstart").mkdir(parents=True)
    (checkout.path / "runs/quickstart/sweep.yaml").touch()
    assert "remove that folder" in checkout.run("launch/demo").stdout
    assert checkout.calls[-1] == f"{sweep} --resume"
    checkout.run("launch/demo --out elsewhere")
    assert checkout.calls[-1] == f"{sweep} --out elsewhere"


def test_bench_sets_up_what_benchmarks_need_and_hands_the_names_on(checkout: Checkout) -> None:
    checkout.run("launch/setup test")
    checkout.run("launch/bench prdc growth")
    assert checkout.calls[-2].endswith("-e .[bench]")  # what the tests need does not cover it
    assert checkout.calls[-1] == "-m benchmarks prdc growth"
    checkout.run("launch/bench")
    checkout.run("launch/setup")
    assert checkout.calls[-1] == "-m benchmarks"
    assert checkout.count("pip") == 2


def test_ci_installs_what_the_readme_says() -> None:
    def packages(path: str) -> list[str]:
        [line] = re.findall(r"apt-get install -y --no-install-recommends (.+)", (ROOT / path).read_text())
        return line.split()

    assert packages("README.md") == packages(".ci/run")


def test_launchers_are_executable() -> None:
    for path in (*(path for path in (ROOT / "launch").iterdir() if not path.suffix), ROOT / ".ci/run"):
        assert os.access(path, os.X_OK), path


def test_constraints_allow_what_is_asked_for() -> None:
    """Every requirement is pinned to one version in its range, and torch's own pins are left to torch."""
    import tomllib

    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {r.name.lower(): r.specifier for r in (Requirement(line) for line in lines if not line.startswith("#"))}
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        requirement = Requirement(text)
        [pin] = pins[requirement.name.lower()]
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), text


def test_nightly_runs_both_parts_and_fails_with_either(checkout: Checkout) -> None:
    checkout.run("launch/setup test")
    pytest_there = checkout.path / ".venv/bin/pytest"
    pytest_there.write_text('#!/bin/sh\necho pytest "$@" >>calls\n[ "$2" != nightly ]\n')
    pytest_there.chmod(0o755)
    assert checkout.run("launch/nightly -x").returncode == 1
    marked, fuzz = (call for call in checkout.calls if call.startswith("pytest"))
    assert marked == "pytest -m nightly -x"
    words = fuzz.split()
    assert words[-2:] == ["--hypothesis-profile=nightly", "-x"]
    files = [word for word in words if word.startswith("tests/")]
    assert {"tests/test_fuzz.py", "tests/test_fuzz_commands.py"} <= {*files}
    assert all((ROOT / file).is_file() for file in files)
    pytest_there.write_text("#!/bin/sh\n")
    assert checkout.run("launch/nightly").returncode == 0
