"""Whatever comes in, genray either takes it or says in one line what is wrong: no other exception, no hang.

A few thousand inputs here; `launch/nightly` makes 105,000, those of `test_fuzz_commands.py` included.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from genray.arguments import experiment_of, run_folder
from genray.config import Experiment
from genray.data import folder, idx
from genray.errors import UserError
from genray.files import parse_yaml
from genray.runs import Run
from genray.space import Sweep

pytestmark = pytest.mark.timeout(3_600)  # 14,000 search spaces took over 600 s on two cores that had other work
ROOT = Path(__file__).parents[1]
SPACES = [path.read_text() for path in sorted((ROOT / "search_spaces").glob("*.yaml"))]
TREES = [yaml.safe_load(text) for text in SPACES]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**15, max_value=10**30),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [0, -1, 1, 0.0, -0.0, 1e-300, 1e300, float("nan"), float("inf"), "", " ", "vae", "none", "mnist", "folder:"]
    ),
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def assert_takes_or_refuses(action: Callable[[], object]) -> None:
    try:
        action()
    except UserError as error:
        text = str(error)
        assert text
        assert "\n" not in text, text
        assert len(text) < 2_000, text


def paths(tree: Any) -> list[tuple[Any, ...]]:
    """Of every value in a tree of mappings and lists, the tree itself included."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [(), *[(key, *path) for key, value in inner for path in paths(value)]]


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = replaced(tree[path[0]], path[1:], value)
    return copy


@st.composite
def mutated(draw: st.DrawFn, trees: list[Any]) -> Any:
    """A valid tree of which one to three values became something else, or which got a key more."""
    tree = draw(st.sampled_from(trees))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(tree)))
        tree = replaced(tree, path, draw(junk))
    if isinstance(tree, dict) and draw(st.booleans()):
        tree = {**tree, draw(st.sampled_from(sorted(Sweep.model_fields)) | st.text(max_size=8)): draw(junk)}
    return tree


@st.composite
def edited(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """Bytes of which some became others, came twice, or are gone."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 30))
        content[at : at + length] = draw(st.binary(max_size=30) | st.just(bytes(content[at : at + 2 * length])))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


@given(mutated(TREES))
@example({"models": ["vae"], "trials": 10**400})
def test_search_spaces(tree: Any) -> None:
    assert_takes_or_refuses(lambda: Sweep.parse(tree))


EXPERIMENTS = [
    {
        "dataset": "digits",
        "model": {"name": "vae", "hidden": 16},
        "optimizer": {"learning_rate": 1e-3, "betas": [0.5, 0.9]},
    },
    {"model": {"name": "gan", "loss": "wgan_gp"}, "resources": {"cpu": 1, "gpu": 0}, "sampled_from": ["prior", "gmm"]},
    {
        "model": {"name": "progan"},
        "metrics": ["frechet"],
        "image_size": 32,
        "workers": 2,
        "batch_size": 64,
        "num_samples": 9,
    },
]


@given(mutated(EXPERIMENTS))
def test_experiments(tree: Any) -> None:
    assert_takes_or_refuses(lambda: Experiment.parse(tree))


@given(edited([text.encode() for text in SPACES]))
@example(b"[" * 3_000)
@example(b"{a: " * 400 + b"}" * 400)
def test_yaml(content: bytes) -> None:
    assert_takes_or_refuses(lambda: Sweep.parse(parse_yaml(content.decode(errors="replace"), "space.yaml")))


keys = st.sampled_from(
    ["epochs", "model.hidden", "model", "optimizer.phases.elbo.betas", "metrics", "dataset", "model.name", "seed"]
)


@given(
    st.lists(
        st.builds("{}={}".format, keys | st.text(max_size=10), st.text(max_size=15) | scalars.map(str)), max_size=3
    )
)
@example(["model="])
@example(["\n=\x1f"])
def test_set(overrides: list[str]) -> None:
    def action() -> None:
        experiment = experiment_of("vae", overrides=overrides)
        place = run_folder(experiment)
        assert place.parts[0] == "runs"
        assert ".." not in place.parts
        assert Experiment.parse(parse_yaml(experiment.to_yaml(), "experiment.yaml")) == experiment

    assert_takes_or_refuses(action)


IDX = [bytes([0, 0, 8, 1, 0, 0, 0, 5, *range(5)]), bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, *range(4)])]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edited(IDX) | st.binary(max_size=40), st.sampled_from(["", ".gz"]))
def test_idx_files(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"images{suffix}"
    path.write_bytes(content)
    assert_takes_or_refuses(lambda: idx.read(path, ndim=3))


def image_bytes(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)).save(buffer, format=kind)
    return buffer.getvalue()


IMAGES = {kind: image_bytes(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edited(list(IMAGES.values())) | st.binary(max_size=60))
def test_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)

    def action() -> None:
        assert folder.decode(path, 16).shape == (3, 16, 16)

    assert_takes_or_refuses(action)


RESULT = json.dumps({"split": "test", "metrics": {"frechet": 1.0}, "num_samples": 100, "experiment": {}}).encode()
ROWS = b'{"epoch": 0, "step": 0}\n{"epoch": 1, "step": 9, "validation/frechet": 3.5}\n'


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edited([RESULT]), edited([ROWS]))
def test_what_a_run_has_written(tmp_path: Path, result: bytes, rows: bytes) -> None:
    run = Run(tmp_path, Experiment.parse({"model": {"name": "vae"}}))
    run.result_path.write_bytes(result)
    run.metrics_path.write_bytes(rows)
    assert_takes_or_refuses(lambda: run.result)
    assert_takes_or_refuses(lambda: run.history)
