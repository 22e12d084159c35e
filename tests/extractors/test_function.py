"""Functions of a user's own: by name, and in YAML."""

import functools
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

import genray
from genray import extractors
from genray.cli import main
from genray.data.spec import Dataset, Split, TrainingData
from genray.errors import UserError
from genray.evaluation.judge import make_judge
from genray.extractors import function

MODULE = """
import numpy as np

SCALE = 2.0

def pixels(images):
    return images.reshape(len(images), -1) / 255 * SCALE

def rows(images):
    return images.mean(axis=(1, 3))

NUMBER = 3
"""


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Names, modules and places of one test do not reach the next."""
    monkeypatch.setattr(function, "_registered", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("GENRAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("my_features", "broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / "my_features.py").write_text(MODULE)
    return "my_features"


def pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


def test_a_function_of_a_module_gives_the_features(few: TrainingData, module: str) -> None:
    extractor = extractors.make(f"{module}:pixels", few)
    images = few.train.images[:7]
    np.testing.assert_allclose(extractor.features(images).features, images.reshape(7, -1) / 127.5, rtol=1e-6)
    assert extractor.name == "my_features:pixels"
    assert extractor.features(torch.tensor(images).float() / 127.5 - 1).probabilities.shape == (7, 10)


def test_the_scores_are_of_those_features(few: TrainingData, digits: Dataset) -> None:
    """The Fréchet distance of pixels by SciPy's root of a matrix."""
    genray.register_extractor("pixels", pixels)
    judge = make_judge(extractors.make("pixels", few), digits.test, ("frechet",))
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, digits.test.images.shape, dtype=np.uint8)
    found = judge.compare(Split(noise), seed=0)["frechet"]
    x, y = pixels(digits.test.images), pixels(noise)
    a, b = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(a @ b + 1e-12 * np.eye(64)).real
    assert found == pytest.approx(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root), rel=1e-4)


def test_read_only_images_are_given_as_a_copy(few: TrainingData) -> None:
    def careless(images: np.ndarray) -> torch.Tensor:
        images += 1
        return torch.from_numpy(images).flatten(1).float()

    genray.register_extractor("careless", careless)
    extractor = extractors.make("careless", few)
    images = few.train.images[:3].copy()
    images.setflags(write=False)
    np.testing.assert_allclose(extractor.features(images).features, images.reshape(3, -1) + 1)


def test_the_hash_is_of_what_the_function_does(few: TrainingData) -> None:
    hashes = {}
    for name, factor in (("one", 1.0), ("again", 1.0), ("near", 1.0 + 1e-6), ("other", 1.1)):
        genray.register_extractor("mine", lambda images, factor=factor: pixels(images) * factor)
        hashes[name] = extractors.make("mine", few).hash
    assert hashes["one"] == hashes["again"] == hashes["near"]
    assert hashes["one"] != hashes["other"]
    genray.register_extractor("mine", lambda images: pixels(images)[:, ::2])
    assert extractors.make("mine", few).hash not in hashes.values()


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda images: images.mean(), r"a row of numbers for each image, \(n, D\), got float64 \(\) for 16 images"),
        (lambda images: pixels(images)[:-1], r"got float64 \(15, 64\) for 16 images"),
        (lambda images: pixels(images)[:, :0], r"got float64 \(16, 0\)"),
        (lambda images: pixels(images).astype(str), "row of numbers"),
        (lambda images: [None] * len(images), "row of numbers"),
        (lambda images: pixels(images) / 0, "must give finite features, got NaN or infinity in those of 16 of 16"),
        (lambda images: images.no_such, "failed on images uint8 .16, 1, 8, 8.: AttributeError: .*no_such"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_a_function_returns_is_checked(few: TrainingData, give, message: str) -> None:
    genray.register_extractor("mine", give)
    with pytest.raises(UserError, match=message) as error:
        extractors.find("mine", few)
    assert "mine" in str(error.value)
    assert "\n" not in str(error.value)


def test_as_many_features_of_every_chunk(few: TrainingData) -> None:
    genray.register_extractor("mine", lambda images: np.zeros((len(images), len(images))))
    extractor = extractors.make("mine", few)
    with pytest.raises(UserError, match=r"must always give as many features, got \[1, 500\]"):
        extractor.array(np.zeros((501, 1, 8, 8), np.uint8))


def test_a_name_has_one_meaning(few: TrainingData) -> None:
    genray.register_extractor("mine", pixels)
    genray.register_extractor("mine", lambda images: pixels(images)[:, :3])  # as a cell of a notebook that runs again
    assert extractors.make("mine", few).array(few.train.images).shape == (64, 3)
    for name in ("inception", "classifier", "a:b", ""):
        with pytest.raises(UserError, match="must be new and without ':'"):
            genray.register_extractor(name, pixels)
    with pytest.raises(UserError, match="must be a function of images, got int"):
        genray.register_extractor("number", 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("inceptoin", "did you mean 'inception'.*known: classifier, dinov2, dinov2_vits14, inception"),
        ("no_such_module:f", "no_such_module cannot be imported .ModuleNotFoundError.*holds no_such_module.py"),
        ("my_features:f", "my_features holds no function 'f' .it holds pixels, rows"),
        ("my_features:NUMBER", "holds no function 'NUMBER'"),
        ("my_features:1f", "must be module:function"),
        ("../x:f", "must be module:function"),
        ("broken:f", "broken cannot be imported .ZeroDivisionError: division by zero"),
        ("my_features:rows", r"a row of numbers for each image, \(n, D\), got float64 \(\) for 16 images"),
    ],
)
@pytest.mark.usefixtures("module")
def test_a_bad_name_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    if name == "my_features:rows":
        (tmp_path / "my_features.py").write_text("def rows(images):\n    return images.mean()\n")
    run = tmp_path / "run"
    assert main(["train", "gan", "--set", f"extractor={name}", "--set", "epochs=1", "--out", str(run)]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, told[-1]), told
    assert not any("Traceback" in line for line in told)
    assert not run.exists()


def test_a_sweep_refuses_a_bad_name_before_it_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "space.yaml").write_text("name: s\nexperiment: {extractor: nothing}\nmodels: [vae]\ntrials: 1\n")
    assert main(["sweep", "space.yaml", "--out", "out"]) == 2
    assert "'nothing' is not an extractor" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("vae*"))


@pytest.mark.parametrize("given", ["by name", "partial"])
def test_a_function_goes_with_its_module_to_where_that_is_not(
    few: TrainingData, module: str, tmp_path: Path, given: str
) -> None:
    """Pickled as Ray pickles, read in a process that cannot import it."""
    from ray import cloudpickle

    from genray.cluster.carried import carry

    if given == "partial":
        genray.register_extractor("mine", functools.partial(function.import_function(f"{module}:pixels")))
    extractor = extractors.make("mine" if given == "partial" else f"{module}:pixels", few)
    carry(extractor)
    try:
        content = cloudpickle.dumps((extractor, few.train.images[:3]))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[module])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/pickled").write_bytes(content)
    script = (
        "import pickle, sys; extractor, images = pickle.load(open('pickled', 'rb')); "
        "print(extractor.features(images).features.sum(), 'my_features' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(genray.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    total, imported = done.stdout.split()
    assert float(total) == pytest.approx(float(extractor.features(few.train.images[:3]).features.sum()), rel=1e-5)
    assert imported == "False"


def test_our_own_extractor_is_carried_as_it_is(few: TrainingData) -> None:
    from genray.cluster.carried import carry

    extractor = extractors.make("classifier", few)
    carry(extractor)
    assert pickle.loads(pickle.dumps(extractor)).hash == extractor.hash  # our own


@pytest.mark.usefixtures("module")
def test_scores_of_two_extractors_never_share_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], digits: Dataset
) -> None:
    """From training to the page: by the classifier, by a function in YAML, by the same under --extractor, and by
    another function of the same name."""
    quick = ["--set", "epochs=1", "--set", "num_samples=60", "--set", "metrics=[frechet, class_entropy]"]
    for run, extractor, seed in (("a", "classifier", 0), ("b", "my_features:pixels", 0), ("c", "classifier", 1)):
        options = ["--set", f"extractor={extractor}", "--set", f"seed={seed}", "--out", run]
        assert main(["train", "gan", *quick, *options]) == 0
    assert main(["evaluate", "a"]) == 0
    assert main(["evaluate", "b"]) == 0
    assert main(["evaluate", "c", "--extractor", "my_features:pixels"]) == 0
    results = {name: genray.runs.open_run(name).result for name in "abc"}
    assert results["b"]["extractor"]["name"] == "my_features:pixels"
    assert results["b"]["extractor"] == results["c"]["extractor"]
    assert results["b"]["classifier"] == results["a"]["classifier"]
    assert results["a"]["extractor"]["hash"] == results["a"]["classifier"]["hash"]
    assert results["b"]["metrics"].keys() == {"frechet", "class_entropy"}

    capsys.readouterr()
    assert main(["compare", "a", "b"]) == 2
    told = capsys.readouterr().err
    assert "the runs differ in extractor" in told
    assert results["a"]["extractor"]["hash"] in told
    assert results["b"]["extractor"]["hash"] in told
    assert main(["compare", "b", "c", "--out", "together"]) == 0

    with_controls = genray.compare(["b", "c"], out="together", controls=True)
    assert {row["control"] for row in with_controls["controls"]} >= {"memorizer", "untrained"}

    found = genray.compare(["a", "b", "c"], out="mixed", mixed=True)
    assert sorted(len(part["rows"][0]["seeds"]) + len(part["rows"]) for part in found["parts"].values()) == [2, 3]
    assert all("extractor" in name for name in found["parts"])
    assert {part["extractor"]["name"] for part in found["parts"].values()} == {
        "my_features:pixels",
        results["a"]["extractor"]["name"],
    }

    (tmp_path / "my_features.py").write_text(MODULE.replace("SCALE = 2.0", "SCALE = 3.0"))
    del sys.modules["my_features"]
    genray.evaluate("c", extractor="my_features:pixels")
    with pytest.raises(UserError, match=r"differ in extractor: .my_features:pixels .*my_features:pixels"):
        genray.compare(["b", "c"], out="again")
