import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from genray.cluster.place import SameFolder
from genray.cluster.work import Final, Means, Shared, Task, do, is_out_of_memory
from genray.config import Experiment
from genray.data.spec import Dataset, TrainingData
from genray.errors import Fault
from genray.evaluation.judge import Judge, make_judge
from genray.extractors.classifier import Classifier
from genray.extractors.trained import extractor_for
from genray.train.distributed import Distributed


@pytest.fixture
def shared(tmp_path: Path, digits: Dataset) -> Shared:
    data = TrainingData(digits.name, digits.spec, digits.train, digits.validation)
    extractor = Classifier("none", "0", {}, digits.spec, {"weight": np.zeros(1)})
    judge = Judge(extractor, digits.validation, None, (), 16)  # no metric asks for features
    return Shared(SameFolder(tmp_path), data, judge)


def test_out_of_memory_says_what_to_lower(shared: Shared) -> None:
    """A layer of 64 x 10^11 weights is more than any machine of today holds, and PyTorch says so at once."""
    experiment = Experiment.parse({"model": {"name": "vae"}, "batch_size": 96, "metrics": []})
    wide = experiment.model.model_copy(update={"hidden": 10**11})  # which nobody can ask for
    experiment = experiment.model_copy(update={"model": wide})
    with pytest.raises(Fault, match=r"out of memory on cpu with batch_size=96, model.hidden=100000000000; lower"):
        do(
            Task("vae/trial_0", experiment, False),
            Means(shared, lambda: pytest.fail("no finalist"), Distributed.single()),
            bool,
        )


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
            True,
        ),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_only_a_lack_of_memory_is_taken_for_one(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one


def test_the_test_split_is_opened_by_a_finalist_that_ended_and_once(tmp_path: Path, digits: Dataset) -> None:
    """Not by a trial, not by a finalist that is stopped, and not again by one that is handed out again."""
    experiment = Experiment.parse(
        {"model": {"name": "vae", "hidden": 8}, "epochs": 2, "evaluate_every": 1, "metrics": ["class_entropy"]}
    )
    extractor = extractor_for(digits.training_data)
    judges = [make_judge(extractor, split, experiment.metrics) for split in (digits.validation, digits.test)]
    shared = Shared(SameFolder(tmp_path), digits.training_data, judges[0])
    opened: list[str] = []

    def final() -> Final:
        opened.append("test")
        return Final(judges[1], {}, digits)

    def done(name: str, finalist: bool, stopped: bool = False) -> list[str]:
        opened.clear()
        do(Task(name, experiment, finalist), Means(shared, final, Distributed.single()), lambda row: not stopped)
        return list(opened)

    assert done("vae/trial_0", finalist=False) == []
    assert done("vae/finalist_0", finalist=True, stopped=True) == []
    assert done("vae/finalist_1", finalist=True) == ["test"]
    assert done("vae/finalist_1", finalist=True) == []


RANK = """
import time
from tests.cluster import test_work
from genray.cluster import work
from genray.train.distributed import Distributed
from genray.train.loop import Outcome

def train(*given, report, distributed, **named):
    for epoch in range(8):  # as the loop does: one rank reports
        time.sleep(0.25)
        if distributed.rank == 0:
            report({{"epoch": epoch}})
    return Outcome({{}}, False)

work.train, work.open_folder = train, lambda *given: None
test_work.do_with_timeout(rank={rank}, timeout_s=1.0)
"""


def do_with_timeout(rank: int, timeout_s: float) -> None:
    shared = Shared(SameFolder(Path("none")), None, None, timeout_s=timeout_s)  # type: ignore[arg-type]  # not looked at
    task = Task("vae/trial_0000", Experiment.parse({"model": {"name": "vae"}, "workers": 2}), finalist=False)
    at = Distributed(torch.device("cpu"), rank, 2)
    do(task, Means(shared, lambda: pytest.fail("no finalist"), at), lambda row: True)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_of_several_workers_that_gives_rows_in_time_is_not_ended(rank: int) -> None:
    """Whose ranks but the first report nothing."""
    code = RANK.format(rank=rank)
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
