"""What the documents say is done here as they say it."""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from pydantic import BaseModel

import genray
from genray import metrics, models
from genray.arguments import sweep_of
from genray.cli import main
from genray.cluster.remote import settings
from genray.config import Experiment
from genray.files import parse_yaml
from genray.settings import ModelConfig
from genray.space import Sweep

ROOT = Path(__file__).parents[1]
TEXTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]
HELP = [f"genray/cli/{name}.py" for name in ("__init__", "runs", "sweeps", "cluster")]  # which show commands too
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def shown(name: str) -> list[str]:
    """The commands of genray in a document's blocks, or in the help that a file has, in their order."""
    text = (ROOT / name).read_text()
    text = text if name in HELP else "\n".join(FENCED.findall(text))
    return re.findall(r"^ *(?:\.venv/bin/)?genray (\w.*?)(?: *#.*)?$", text, re.MULTILINE)


def test_yaml_of_the_readme_is_valid() -> None:
    experiment, space = [parse_yaml(block, "README.md") for block in blocks("README.md", "yaml")]
    assert Experiment.parse(experiment).model.name == "vae"
    assert Sweep.parse(space).num_trials == 16


def test_commands_of_the_documents_take_the_arguments_that_they_are_shown_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--help` at the end parses all that stands before it. Of blocks, and of what stands `so` in a sentence."""
    lines = [line for name in (*TEXTS, *HELP) for line in shown(name)]
    assert len(lines) >= 50
    sentences = FENCED.sub("", "".join((ROOT / name).read_text() for name in TEXTS))
    spans = [span.partition("genray ") for span in re.findall(r"`([^`\n]+)`", sentences)]
    inline = [line for before, _, line in spans if before in ("", ".venv/bin/") and re.match(r"\w[^…]*$", line)]
    assert len(inline) >= 40
    for line in [*lines, *dict.fromkeys(inline)]:
        assert main([*shlex.split(line), "--help"]) == 0, capsys.readouterr().err
        for path in re.findall(r"\S+\.yaml", line):
            if path == "cluster.yaml" or path.startswith("launch/"):
                assert settings.read(ROOT / path).name == "genray"
            elif path not in ("CLUSTER.yaml", "SPACE.yaml"):  # which stand for any
                assert path.startswith("runs/") or sweep_of(ROOT / path)


def test_launchers_of_the_documents_are_there_and_take_what_they_are_given() -> None:
    documents = "".join((ROOT / name).read_text() for name in TEXTS)
    lines = re.findall(r"^(?:sbatch )?((?:\./)?launch/.*?|ray (?:up|down) .*?)(?: *#.*)?$", documents, re.MULTILINE)
    known = {"./launch/demo", "./launch/test", "launch/setup aws", "ray up cluster.yaml", "ray down cluster.yaml"}
    assert known <= set(lines)
    for line in lines:
        paths = [word for word in shlex.split(line) if "/" in word or word.endswith(".yaml")]
        assert all((ROOT / path).is_file() for path in paths), line


def test_python_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [text] = blocks("README.md", "python")
    names: dict[str, object] = {}
    exec(text.replace('"epochs": 20', '"epochs": 2, "num_samples": 64'), names)  # noqa: S102  our own README
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


def test_names_of_the_architecture_are_those_of_the_code() -> None:
    """Paths are files, dotted names can be imported, and what is called a class stands where it is said to."""
    text = (ROOT / "docs/architecture.md").read_text()
    paths = {path for path in re.findall(r"[\w/.]+/[\w.]*", text) if path.startswith(("genray/", "search_spaces/"))}
    names = set(re.findall(r"\bgenray(?:\.\w+)+", text))
    assert len(paths) >= 8
    assert len(names) >= 20
    for path in paths:
        assert (ROOT / path).exists() or "NAME" in path, path
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute) or importlib.util.find_spec(name), name


def test_every_score_is_documented_and_none_that_is_not_there() -> None:
    rows = [line for line in (ROOT / "docs/metrics.md").read_text().split("\n") if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    scores = metrics.scores()
    assert documented == {name for name, score in scores.items() if not score.error_of} | {"kernel_std"}
    for row in rows:
        for name, arrow in re.findall(r"`(\w+)` ([↑↓])", row.split(" | ")[0]):
            assert scores[name].better == {"↑": "higher", "↓": "lower"}[arrow], name


def test_every_option_of_a_documented_model_is_there_with_its_default() -> None:
    """An option that comes, goes or changes its default must do so in docs/models.md too."""
    sections = re.split(r"^## ", (ROOT / "docs/models.md").read_text(), flags=re.MULTILINE)[1:]
    assert {section.split("\n")[0] for section in sections} <= set(models.names())  # a new model needs no section
    assert len(sections) >= 8
    for section in sections:
        fields = models.load(section.split("\n")[0]).Config.model_fields
        documented = {}
        for names, defaults in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE):
            keys, values = re.findall(r"`(\w+)`", names), defaults.split(", ")
            documented |= dict(zip(keys, [value.strip("`") for value in values], strict=True))
        assert documented.keys() == fields.keys() - ModelConfig.model_fields.keys()
        for key, told in documented.items():
            if fields[key].default is not None:
                assert parse_yaml(told, key) == fields[key].default, key


@pytest.mark.parametrize(("section", "config"), [("A search space", Sweep), ("An experiment", Experiment)])
def test_every_key_of_a_yaml_is_documented_with_its_default(section: str, config: type[BaseModel]) -> None:
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", (ROOT / "docs/search_spaces.md").read_text(), re.S | re.M)
    rows = {key: told.strip() for key, told in re.findall(r"^\| `(\w+)` \|([^|]*)\|", text, re.MULTILINE)}
    assert rows.keys() == config.model_fields.keys()
    whole = config.model_validate({"models": ["vae"], "trials": 1} if config is Sweep else {"model": {"name": "vae"}})
    for key, told in rows.items():
        if told and told != "those that are cheap":
            value = parse_yaml(told.strip("`"), key)
            changed = config.model_validate({**whole.model_dump(mode="json", exclude_unset=True), key: value})
            assert getattr(changed, key) == getattr(whole, key), key
