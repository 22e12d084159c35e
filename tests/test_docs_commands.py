"""The commands of genray that the documents' blocks and the commands' help show, run in their order, on little data."""

import contextlib
import functools
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genray.cli import main
from genray.cluster import environment
from genray.data import datasets
from genray.data.spec import Split
from tests.data.test_datasets import FILES, idx
from tests.test_docs import HELP, ROOT, TEXTS, shown

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray warns of itself

DOCUMENTS = [name for name in TEXTS if shown(name)] + ["help"]

_CLUSTER = "needs a cluster that `ray up` has started: tests/cluster/test_ray_up.py and tests/cluster/remote"
_MINUTES = "takes minutes to hours: tests/studies"
LEFT_OUT = {  # how a command begins, and why it is not run here
    "cluster attach": _CLUSTER,
    "cluster board": _CLUSTER,
    "cluster doctor": _CLUSTER,
    "cluster fetch": _CLUSTER,
    "cluster jobs": _CLUSTER,
    "cluster stop": _CLUSTER,
    "cluster submit": _CLUSTER,
    "compare runs/digits runs/mnist": "needs sweeps of two datasets: tests/test_cli.py",
    "doctor --address auto": "needs a cluster and a bucket: tests/cluster/test_doctor.py",
    "evaluate runs/vae-cifar10-0 --extractor inception": "needs CIFAR-10 and Inception's weights: tests/extractors",
    "study gradient_variance": _MINUTES,
    "study hidden_size --budget full": _MINUTES,
    "study iwae --budget full": _MINUTES,
    "study optimal_discriminator --budget full": _MINUTES,
}

GIVEN = {  # what a document takes for done, by launch/slurm.sbatch, by launch/demo, or by the reader
    "docs/cluster.md": ["sweep search_spaces/compare.yaml --trials 8 --set experiment.epochs=20"],
    "docs/results.md": ["sweep search_spaces/quickstart.yaml"],
    "help": [
        "train cvae --dataset mnist",
        "train cvae --set model.condition=left --out runs/halves",
        "train gan",
        "evaluate runs/gan-digits-0",
    ],
}
PICTURES = ("half.png", "other.png", "a.png", "b.png", "c.png")  # of the reader's own

_SHORT_RUN = ["--set", "epochs=1", "--set", "num_samples=100"]
_SHORT_SWEEP = ["--trials", "4", "--set", "models=[vae]", "--set", "lanes=1"]  # docs/results.md wants four
_SHORT_SWEEP += ["--set", "experiment.epochs=1", "--set", "experiment.num_samples=100"]
_SHORT_SWEEP += ["--set", "finalists.seeds=1", "--set", "controls=false"]
SHORT = {"train": _SHORT_RUN, "sweep": _SHORT_SWEEP, "estimate": _SHORT_SWEEP}  # stands after what is shown


def commands(document: str) -> list[str]:
    return [line for name in (HELP if document == "help" else [document]) for line in shown(name)]


def why_left_out(line: str) -> str | None:
    return next((reason for begin, reason in LEFT_OUT.items() if f"{line} ".startswith(f"{begin} ")), None)


def write_mnist(root: Path) -> None:
    """The digits of scikit-learn as MNIST's files, again and again until there are enough of them."""
    digits = datasets.load("digits", image_size=28)
    raw = root / "MNIST/raw"
    raw.mkdir(parents=True)
    for split, count, files in ((digits.train, 5_512, FILES[:2]), (digits.test, 359, FILES[2:])):
        for array, file in zip(_repeated(split, count), files, strict=True):
            (raw / file).write_bytes(idx(array))


def _repeated(split: Split, count: int) -> tuple[np.ndarray, np.ndarray]:
    assert split.labels is not None
    chosen = np.resize(np.arange(len(split)), count)
    return split.images[chosen, 0], split.labels[chosen].astype(np.uint8)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Little data, nothing of this user's home, and one Ray for all that asks for it."""
    folder = tmp_path_factory.mktemp("around")
    write_mnist(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRAY_DATA", str(folder / "data"))
        patch.setenv("GENRAY_CACHE", str(folder / "cache"))
        environment.prepare(None)
        from genray.cluster import resources

        with resources.connected(None, data_bytes=50_000_000, verbose=False):
            yield


@pytest.fixture(scope="module")
def swept(around: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A sweep's `runs`, of a folder of its own: what several documents show is done once."""

    @functools.cache
    def sweep(line: str) -> Path:
        folder = tmp_path_factory.mktemp("sweep")
        prepare(folder)
        with contextlib.chdir(folder):
            assert main([*shlex.split(line), *SHORT["sweep"]]) == 0, line
        return folder / "runs"

    return sweep


def prepare(folder: Path) -> None:
    """What lies in the folder where commands are called: the checkout's spaces, and pictures."""
    (folder / "search_spaces").symlink_to(ROOT / "search_spaces")
    images = datasets.load("digits").test.images
    for image, name in zip(images, PICTURES, strict=False):
        Image.fromarray(image[0]).save(folder / name)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_smoke_commands_of_a_document_run_one_after_the_other(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swept: Callable[[str], Path]
) -> None:
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in [*GIVEN.get(document, ()), *commands(document)]:
        if why_left_out(line):
            continue
        words = shlex.split(line)
        print(f"\n$ genray {line}", flush=True)
        if line.startswith("sweep search_spaces/") and "--resume" not in words:
            shutil.copytree(swept(line), "runs", dirs_exist_ok=True)
        elif words == ["doctor"]:  # with a Ray of its own: it looks for more memory than the one here was given
            subprocess.run([sys.executable, "-m", "genray", *words], check=True)
        else:
            with monkeypatch.context() as patch:
                if words == ["cluster", "token"]:  # not this user's; for it alone, as Ray looks there too
                    patch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
                assert main([*words, *SHORT.get(words[0], ())]) == 0, line


def test_what_is_left_out_is_shown_and_tested_elsewhere() -> None:
    every = [line for document in DOCUMENTS for line in commands(document)]
    for begin, reason in LEFT_OUT.items():
        assert any(f"{line} ".startswith(f"{begin} ") for line in every), begin
        places = re.findall(r"tests/[\w/.]+", reason)
        assert places, begin
        assert all((ROOT / place).exists() for place in places), begin
    assert set(GIVEN) <= set(DOCUMENTS)
