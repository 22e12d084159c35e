"""What a command was told, as an experiment or a sweep, and the folders that are taken where none is given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from genray import models, schema
from genray.config import Experiment
from genray.errors import UserError, nearest
from genray.overrides import parse_overrides, with_values
from genray.space import Sweep

SEARCH_SPACES = Path(__file__).parent / "search_spaces"  # in a checkout a link to those beside `genray/`


def experiment_of(
    model: str, *, dataset: str | None = None, config: Path | None = None, overrides: Iterable[str] = ()
) -> Experiment:
    """What `genray train` is told: a YAML file where there is one, the dataset over it, `key=value` texts over that."""
    if model not in models.names():
        models.load(model)  # which says what is wrong
    values = ({"dataset": dataset} if dataset else {}) | parse_overrides(overrides)
    tree = with_values(schema.read_yaml(config) if config else {}, values)
    named = with_values(tree, {"model.name": model})
    other = (tree.get("model") or {}).get("name", model)
    if other != model:
        raise UserError(f"model.name must be the MODEL that is trained, got {other!r} and {model!r}; give one of them")
    return Experiment.parse(named, str(config or ""))


def run_folder(experiment: Experiment) -> Path:
    """runs/vae-mnist-0"""
    dataset = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment.dataset).strip("-")
    return Path("runs") / f"{experiment.model.name}-{dataset}-{experiment.seed}"


def sweep_of(space: Path, *, trials: int | None = None, overrides: Iterable[str] = ()) -> Sweep:
    """A search space with `key=value` texts over it. A name alone is looked for in search_spaces."""
    values = parse_overrides(overrides) | ({} if trials is None else {"trials": trials})
    return Sweep.load(_find(space), values)


def _find(space: Path) -> Path:
    if space.exists():
        return space
    known = {path.stem: path for path in sorted(SEARCH_SPACES.glob("*.yaml"))}
    if str(space) in known:
        return known[str(space)]
    raise UserError(f"{space} is not there; give the path of a search space{nearest(space.stem, known)}")


def sweep_folder(sweep: Sweep) -> Path:
    """runs/quickstart"""
    return Path("runs") / sweep.name


def page_folder(runs: Sequence[Path | str]) -> Path:
    """`comparison`, in the first folder if that is a sweep, else beside it."""
    if not runs:
        raise UserError("nothing to compare; give the folder of a sweep, or of runs that were evaluated")
    first = Path(runs[0])
    return (first if (first / "sweep.yaml").exists() else first.parent) / "comparison"
