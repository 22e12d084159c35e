"""What a trial costs beside its own work, on two lanes: genray's sweep, against the documented recipe, a `TorchTrainer`
with a worker group of its own inside each Tune trial.

The trials are real ones: a VAE on the embedded digits, of as many epochs as take `--seconds`, drawn at random and none
stopped. What their own work takes is measured too: two warm processes train the same trials and do nothing else.
Overhead = (wall time of all trials - wall time of their own work) / trials, once from the first call, with the start of
Ray and of every process in it, and once from the first trial's first moment.
"""

import argparse
import itertools
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.common import header
from genray.cluster.environment import prepare

prepare(None)  # before ray is imported: no logs, no dashboard, a token

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.train import ScalingConfig  # noqa: E402
from ray.train.torch import TorchTrainer  # noqa: E402

from genray.cluster.sweep import sweep  # noqa: E402
from genray.cluster.work import Shared, Task, do  # noqa: E402
from genray.config import Experiment  # noqa: E402
from genray.data.datasets import load  # noqa: E402
from genray.metrics.evaluate import make_judge, training_features  # noqa: E402
from genray.metrics.features import extractor_for  # noqa: E402
from genray.space import Sweep  # noqa: E402
from genray.train.distributed import Distributed  # noqa: E402

LANES = 2
MODEL = "vae"


def space(epochs: int, trials: int) -> Sweep:
    return Sweep.parse(
        {
            "experiment": {"dataset": "digits", "epochs": epochs, "batch_size": 64, "evaluate_every": 20},
            "models": [MODEL],
            "search": {"optimizer.learning_rate": {"loguniform": [5e-4, 2e-3]}},
            "optuna": {"sampler": "random"},
            "trials": trials,
            "finalists": {"seeds": 1},
            "lanes": LANES,
        }
    )


def experiments(asked: Sweep) -> list[Experiment]:
    """As many as the sweep draws, of the same size."""
    rates = [5e-4 * 4 ** (i / asked.num_trials) for i in range(asked.num_trials)]
    return [asked.experiment_of(MODEL, {"optimizer.learning_rate": rate}) for rate in rates]


def shared(out: Path) -> Shared:
    dataset = load("digits")
    data = dataset.training_data
    extractor, names = extractor_for(data), Experiment.model_fields["metrics"].default
    judge = make_judge(extractor, data.validation, names, train=training_features(extractor, data.train, names))
    return Shared(out, data, judge)


def train_alone(run: str, experiment: Experiment, given: Shared) -> float:
    """One trial's own work; returns its seconds."""
    started = time.perf_counter()
    do(Task(run, experiment, finalist=False), given, lambda: None, lambda row: True, Distributed.single())
    return time.perf_counter() - started


_given: Shared


def _warm(out: Path) -> None:
    global _given
    torch.set_num_threads(1)
    _given = shared(out)
    train_alone(f"warm_{os.getpid()}", space(1, 1).first_experiment(MODEL), _given)


def _work(run: str, experiment: Experiment) -> float:
    return train_alone(run, experiment, _given)


def own_work(asked: Sweep, out: Path) -> tuple[float, list[float]]:
    """Wall seconds of all trials in warm processes, and each trial's."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(LANES, spawn, initializer=_warm, initargs=(out,)) as pool:
        list(pool.map(_work, [f"first_{i}" for i in range(LANES)], [space(1, 1).first_experiment(MODEL)] * LANES))
        started = time.perf_counter()
        seconds = list(pool.map(_work, [f"own_{i}" for i in range(asked.num_trials)], experiments(asked)))
        return time.perf_counter() - started, seconds


def ours(asked: Sweep, out: Path) -> tuple[float, float]:
    """Wall seconds of the search, from the call and from the first trial, finalist and report left out."""
    started = time.time()
    sweep(asked, out=out)
    begun = min(path.stat().st_mtime for path in out.glob("*/trial_*/experiment.yaml"))
    ended = max(path.stat().st_mtime for path in out.glob("*/trial_*/checkpoint/state.pt"))
    return ended - started, ended - begun


def recipe(asked: Sweep, out: Path) -> tuple[float, float]:
    """The same for a `TorchTrainer` inside each Tune trial. Ray is told of 4 CPUs, so that two trials' drivers and
    workers fit at once; with 2 they would wait for each other for ever."""
    started = time.time()
    ray.init(num_cpus=2 * LANES, include_dashboard=False, log_to_driver=False)
    given = ray.put(shared(out))
    jobs = [{"run": f"recipe/{i}", "experiment": e.to_yaml()} for i, e in enumerate(experiments(asked))]

    def trial(config: dict) -> None:
        def loop(config: dict) -> None:
            from genray.files import parse_yaml

            experiment = Experiment.parse(parse_yaml(config["experiment"], ""))
            train_alone(config["run"], experiment, ray.get(given))

        TorchTrainer(loop, train_loop_config=config["job"], scaling_config=ScalingConfig(num_workers=1)).fit()
        tune.report({"done": 1})

    tune.Tuner(
        tune.with_resources(trial, {"CPU": 1}),
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(max_concurrent_trials=LANES),
        run_config=tune.RunConfig(storage_path=str(out / "tune"), verbose=0),
    ).fit()
    begun = min(path.stat().st_mtime for path in out.glob("recipe/*/experiment.yaml"))
    ended = max(path.stat().st_mtime for path in out.glob("recipe/*/checkpoint/state.pt"))
    ray.shutdown()
    return ended - started, ended - begun


def calibrate(seconds: float, out: Path) -> int:
    """Epochs that take about so long."""
    torch.set_num_threads(1)
    given = shared(out)
    for run in itertools.count():
        taken = train_alone(f"calibrate_{run}", space(100, 1).first_experiment(MODEL), given)
        if run == 1:  # the first warms up
            return max(1, round(100 * seconds / taken))
    raise AssertionError


def in_folder(measure: Callable[[Path], object]) -> object:
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--recipe-trials", type=int, default=6, help="fewer, as each takes so long")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a trial's own work")
    asked = parser.parse_args()
    print(header("Overhead of a trial", ["ray", "optuna", "torch"]))
    epochs = in_folder(lambda folder: calibrate(asked.seconds, folder))
    rows = []
    for name, run, trials in (
        ("genray sweep", ours, asked.trials),
        ("TorchTrainer a trial", recipe, asked.recipe_trials),
    ):
        sweep_asked = space(epochs, trials)
        work, each = in_folder(lambda folder, s=sweep_asked: own_work(s, folder))
        folder = Path(tempfile.mkdtemp())
        whole, running = run(sweep_asked, folder / "sweep")
        shutil.rmtree(folder)
        rows.append((name, trials, sum(each) / trials, work, whole, running))
    print(f"VAE on the embedded digits, {epochs} epochs a trial, {LANES} lanes. Seconds of wall time.\n")
    columns = ("", "trials", "own work a trial", "own work of all", "from the call", "overhead a trial")
    print(f"| {' | '.join((*columns, 'from the first trial', 'overhead a trial'))} |\n|{'---|' * 8}")
    for name, trials, each, work, *walls in rows:
        cells = [f"{wall:.1f} | {(wall - work) / trials:.2f}" for wall in walls]
        print(f"| {name} | {trials} | {each:.2f} | {work:.1f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
