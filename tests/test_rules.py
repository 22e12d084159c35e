"""Rules of the code that no linter knows."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import yaml

import genray

ROOT = Path(genray.__file__).parents[1]
IGNORED = re.compile(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z-]+\])(.*)$")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_every_ignored_rule_has_its_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources("genray", "tests", "benchmarks")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (found := IGNORED.search(line)) and not re.search(r"\w{2}", found[1])
    ]
    assert bare == []


def test_only_the_cluster_imports_ray() -> None:
    """So that training, samples and pages start without it."""
    found = set()
    for path in sources("genray"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "ray" for name in names):
                found.add(path.relative_to(ROOT / "genray").parts[0])
    assert found == {"cluster"}


def test_folders_and_files_import_each_other_in_one_direction() -> None:
    """Genray's folders, and the files beside them; an import within a function counts too."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sources("genray")
    }

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    imports: dict[str, set[str]] = {room(module): set() for module in modules}
    for module, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                names += [name if name in modules else node.module for name in whole]
            imports[room(module)] |= {room(name) for name in names if room(name) in imports} - {room(module)}
    assert imports["genray"] >= {"genray.single", "genray.runs"}
    TopologicalSorter(imports).prepare()  # raises CycleError


def test_what_may_lie_on_a_gpu_is_made_double_on_the_cpu() -> None:
    """Apple's MPS has no float64; `genray.dtypes.widest` says what a device has."""
    folders = [f"genray/{folder}" for folder in ("evaluation", "metrics", "models", "nn", "pictures", "train")]
    there = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources(*folders)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"(?<!\.cpu\(\))\.double\(\)", line)
    ]
    assert there == []


def test_hooks_of_pre_commit_are_what_the_tests_run_first() -> None:
    """ruff, its format and mypy, of the environment whose versions are pinned."""
    [repo] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook["entry"].replace(" --force-exclude", "") for hook in repo["hooks"]]
    run = [
        line.removesuffix(" .").removesuffix(" --check") for line in (ROOT / "launch" / "test").read_text().splitlines()
    ]
    assert [line for line in run if line.startswith((".venv/bin/ruff", ".venv/bin/mypy"))] == hooks
    pinned = dict(re.findall(r"^(ruff|mypy)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert pinned.keys() == {"ruff", "mypy"}


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what the format asks for
    assert citation["version"] == project["version"] == genray.__version__
    assert citation["license"] == project["license"]
