"""What pydantic finds is said as every other error: the key, the rule, the value and, after a semicolon, the fix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genray import models
from genray.config import Experiment
from genray.errors import UserError
from genray.space import Sweep
from genray.strict import Strict
from tests.test_fuzz import junk

Path = tuple[str | int, ...]
SPACE: dict[str, Any] = {"models": ["vae"], "search": {"model.hidden": {"choice": [16, 32]}}, "trials": 2}


def leaves(schema: dict[str, Any], known: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """JSON schemas of all values that may stand below a class, without those under keys of a user's own."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    for kind in schema.get("anyOf", ()):
        yield from leaves(kind, known, path)
    for key, inner in schema.get("properties", {}).items():
        yield from leaves(inner, known, (*path, key))
    for number, inner in enumerate(schema.get("prefixItems", ())):
        yield from leaves(inner, known, (*path, number))
    yield path, schema


def fields(cls: type[Strict]) -> list[tuple[Path, dict[str, Any]]]:
    schema = cls.model_json_schema()
    return [(path, leaf) for path, leaf in leaves(schema, schema.get("$defs", {})) if path]


def outside(leaf: dict[str, Any]) -> list[st.SearchStrategy[Any]]:
    """Values of the right type, beyond each bound."""
    numbers = {
        "exclusiveMinimum": (lambda m: st.integers(max_value=m), lambda m: st.floats(max_value=m)),
        "exclusiveMaximum": (lambda m: st.integers(min_value=m), lambda m: st.floats(min_value=m)),
        "minimum": (lambda m: st.integers(max_value=m - 1), lambda m: st.floats(max_value=m, exclude_max=True)),
        "maximum": (lambda m: st.integers(min_value=m + 1), lambda m: st.floats(min_value=m, exclude_min=True)),
    }
    found = [make[leaf["type"] == "number"](leaf[bound]) for bound, make in numbers.items() if bound in leaf]
    if "prefixItems" in leaf:  # a pair
        return [st.just([0.5] * (leaf["maxItems"] + 1))]
    return found + [st.just([]) for _ in {"minItems"} & leaf.keys()]


def tree_with(path: Path, value: Any) -> Any:
    """The keys of `path` around the value, and in a pair of numbers another beside it."""
    for part in reversed(path):
        value = {part: value} if isinstance(part, str) else [value if i == part else 0.5 for i in range(2)]
    return value


def refuse_experiment(path: Path, value: Any) -> str:
    tree = tree_with(path, value)
    return refusal(Experiment, {**tree, "model": {"name": "vae"} | tree.get("model", {})})


def refuse_sweep(path: Path, value: Any) -> str:
    return refusal(Sweep, SPACE | tree_with(path, value))


def refusal(cls: type[Strict], tree: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        cls.parse(tree, "a.yaml")
    return str(error.value)


CONFIGS = [(("model", *path), leaf, name) for name in models.names() for path, leaf in fields(models.load(name).Config)]
CASES = [
    *[(refuse_experiment, path, values) for path, leaf in fields(Experiment) for values in outside(leaf)],
    *[(refuse_sweep, path, values) for path, leaf in fields(Sweep) for values in outside(leaf)],
    *[
        (lambda path, value, name=name: refusal(Experiment, {"model": {"name": name, path[-1]: value}}), path, values)
        for path, leaf, name in CONFIGS
        for values in outside(leaf)
    ],
]


def test_bounds_are_found() -> None:
    paths = {".".join(map(str, path)) for _, path, _ in CASES}
    assert {"epochs", "seed", "budget.seconds", "optimizer.betas.1", "resources.gpu", "sampled_from"} <= paths
    assert {"model.hidden", "model.sigma", "model.growth_share", "model.packing"} <= paths
    assert {"trials", "finalists.seeds", "scheduler.asha.grace_percent", "objective", "optuna.seed"} <= paths
    assert len(CASES) > 120


@pytest.mark.parametrize("case", CASES, ids=lambda case: ".".join(map(str, case[1])))
def test_a_value_out_of_bounds_is_named_with_its_fix(case: Any) -> None:
    refuse, path, values = case

    @settings(max_examples=20)
    @given(values)
    def try_one(value: Any) -> None:
        said = refuse(path, value)
        rule, _, rest = said.partition(", got ")
        assert str(path[-1]) in rule
        shown, _, fix = rest.rpartition("; ")
        assert shown == repr(value)
        assert fix
        assert "\n" not in said
        assert "give another value" not in said

    try_one()


@pytest.mark.parametrize("refuse", [Experiment, Sweep])
def test_every_kind_of_error_has_a_fix(refuse: type[Strict]) -> None:
    """Any value in the place of any other."""
    base = {Experiment: {"model": {"name": "vae"}}, Sweep: SPACE}[refuse]
    places = [path for path, _ in fields(refuse)]
    places += [path for path, _, name in CONFIGS if name == "vae"] if refuse is Experiment else []

    @given(st.sampled_from(places), junk)
    def try_one(path: Path, value: Any) -> None:
        tree = tree_with(path, value)
        if isinstance(tree.get("model"), dict):
            tree["model"] = {"name": "vae"} | tree["model"]
        said = refusal_or_none({**base, **tree})
        assert said is None or "; " in said or "(known: " in said
        assert "give another value" not in (said or "")

    def refusal_or_none(tree: dict[str, Any]) -> str | None:
        try:
            refuse.parse(tree)
        except UserError as error:
            return str(error)
        return None

    try_one()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs: input should be greater than 0, got 0; raise it to at least 1"),
        (
            {"epochs": 10**12},
            "epochs: input should be less than or equal to 1000000000, got 1000000000000; "
            "lower it to at most 1000000000",
        ),
        (
            {"optimizer": {"learning_rate": -0.1}},
            "optimizer.learning_rate: input should be greater than 0, got -0.1; raise it above 0",
        ),
        ({"ema_decay": 1}, "ema_decay: input should be less than 1, got 1; lower it below 1"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, got -1; raise it to at least 0"),
        (
            {"model": {"name": "vae", "network": "convolutional"}},
            "model.network: input should be 'mlp' or 'conv', got 'convolutional'; write conv, for example",
        ),
        (
            {"model": {"name": "progan", "network": "mlp"}},
            "model.network: input should be 'conv', got 'mlp'; write conv",
        ),
        (
            {"model": {"name": "vae", "hidden": 1.5}},
            "model.hidden: input should be a valid integer, got 1.5; write a whole number, 3 for example",
        ),
        (
            {"model": {"name": "vae", "sigma": -1}},
            "model.sigma: input should be greater than 0, got -1; raise it above 0 (the first of 2 errors)",
        ),
        (
            {"dataset": 7},
            "dataset: input should be a valid string, got 7; "
            "write a text, in quotes where it would be read as another thing",
        ),
        (
            {"metrics": "frechet"},
            "metrics: input should be a valid tuple, got 'frechet'; write a list, [a, b] for example",
        ),
        (
            {"budget": 3},
            "budget: input should be a valid dictionary or instance of Budget, got 3; "
            "write lines of `key: value` below it",
        ),
        (
            {"epochs": "many", "batch_size": 0},
            "epochs: input should be a valid integer, unable to parse string as an integer, got 'many'; "
            "write a whole number, 3 for example (the first of 2 errors)",
        ),
    ],
)
def test_fix(changes: dict[str, Any], said: str) -> None:
    assert refusal(Experiment, {"model": {"name": "vae"}, **changes}) == f"a.yaml: {said}"
