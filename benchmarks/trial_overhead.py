"""What a trial costs beside its own work, on two lanes: genray's sweep, against the documented recipe, a `TorchTrainer`
with a worker group of its own inside each Tune trial; against a plain Tune function, whose trials start a process each;
and against Optuna alone in one process, with a thread a lane, and one trial after the other.

The trials are real ones: a VAE on the embedded digits, of as many epochs as take `--seconds`, drawn at random and none
stopped. What their own work takes is measured too, before each way: as many warm processes as it has lanes train the
same trials and do nothing else. Overhead = (wall time of all trials - wall time of their own work) / trials, once from
the first call, with the start of Ray and of every process in it, and once from the first trial's first moment. Every
way has a process of its own, and the ways take turns.
"""

import argparse
import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import optuna
import torch

from benchmarks.common import header, spread
from genray.cluster.environment import prepare

prepare(None)  # before ray is imported: no logs, no dashboard, a token

import ray
from ray import tune
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer

from genray.cluster.place import SameFolder
from genray.cluster.sweep import sweep
from genray.cluster.work import Means, Shared, Task, do
from genray.config import Experiment
from genray.data.datasets import load
from genray.evaluation.judge import make_judge, training_features
from genray.extractors.trained import extractor_for
from genray.files import parse_yaml
from genray.runs import open_run
from genray.space import Sweep
from genray.train.distributed import Distributed

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
    return Shared(SameFolder(out), data, judge)


def train_alone(run: str, experiment: Experiment, given: Shared) -> float:
    """One trial's own work; returns its seconds."""
    started = time.perf_counter()
    do(Task(run, experiment, finalist=False), Means(given, lambda: None, Distributed.single()), lambda row: True)
    return time.perf_counter() - started


_given: Shared


def _warm(out: Path) -> None:
    global _given
    torch.set_num_threads(1)
    _given = shared(out)
    train_alone(f"warm_{os.getpid()}", space(1, 1).first_experiment(MODEL), _given)


def _work(run: str, experiment: Experiment) -> float:
    return train_alone(run, experiment, _given)


def own_work(asked: Sweep, out: Path, lanes: int) -> tuple[float, list[float]]:
    """Wall seconds of all trials in warm processes, and each trial's."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(lanes, spawn, initializer=_warm, initargs=(out,)) as pool:
        list(pool.map(_work, [f"first_{i}" for i in range(lanes)], [space(1, 1).first_experiment(MODEL)] * lanes))
        started = time.perf_counter()
        seconds = list(pool.map(_work, [f"own_{i}" for i in range(asked.num_trials)], experiments(asked)))
        return time.perf_counter() - started, seconds


def ours(asked: Sweep, out: Path) -> tuple[float, float]:
    """Wall seconds of the search, from the call and from the first trial, finalist and report left out."""
    started = time.time()
    sweep(asked, out=out)
    return since(started, out, "*/trial_*")


def since(started: float, out: Path, runs: str) -> tuple[float, float]:
    """Seconds to the last trial's end, from `started` and from the first trial's first file."""
    begun = min(path.stat().st_mtime for path in out.glob(f"{runs}/experiment.yaml"))
    ended = max(path.stat().st_mtime for path in out.glob(f"{runs}/checkpoint/state.pt"))
    return ended - started, ended - begun


def plain(asked: Sweep, out: Path) -> tuple[float, float]:
    """The same for a Tune function, in a new process each."""
    started = time.time()
    ray.init("local", num_cpus=LANES, include_dashboard=False, log_to_driver=False)
    given = ray.put(shared(out))

    def trial(config: dict) -> None:
        run_job(config["job"], ray.get(given))
        tune.report({"done": 1})

    search(trial, jobs(asked, "plain"), out)
    ray.shutdown()
    return since(started, out, "plain/*")


def optuna_alone(asked: Sweep, out: Path, lanes: int) -> tuple[float, float]:
    """The same for Optuna in this process, with a thread a lane, its journal on the disk as genray's is."""
    started = time.time()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    given = shared(out)
    out.mkdir()
    journal = optuna.storages.journal.JournalFileBackend(str(out / "study.journal"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal), sampler=optuna.samplers.RandomSampler(seed=0)
    )

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("optimizer.learning_rate", 5e-4, 2e-3, log=True)
        run = f"optuna/{trial.number}"
        train_alone(run, asked.experiment_of(MODEL, {"optimizer.learning_rate": rate}), given)
        return open_run(out / run).history[-1]["validation/frechet"]

    study.optimize(objective, n_trials=asked.num_trials, n_jobs=lanes)
    return since(started, out, "optuna/*")


def threads(asked: Sweep, out: Path) -> tuple[float, float]:
    return optuna_alone(asked, out, LANES)


def one_by_one(asked: Sweep, out: Path) -> tuple[float, float]:
    return optuna_alone(asked, out, 1)


def jobs(asked: Sweep, folder: str) -> list[dict[str, str]]:
    return [{"run": f"{folder}/{i}", "experiment": e.to_yaml()} for i, e in enumerate(experiments(asked))]


def run_job(job: dict[str, str], given: Shared) -> None:
    train_alone(job["run"], Experiment.parse(parse_yaml(job["experiment"], "")), given)


def search(trial: Callable[[dict], None], jobs: list[dict[str, str]], out: Path) -> None:
    tune.Tuner(
        tune.with_resources(trial, {"CPU": 1}),
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(max_concurrent_trials=LANES, reuse_actors=False),
        run_config=tune.RunConfig(storage_path=str(out / "tune"), verbose=0),
    ).fit()


def recipe(asked: Sweep, out: Path) -> tuple[float, float]:
    """The same for a `TorchTrainer` inside each Tune trial. Ray is told of 4 CPUs, so that two trials' drivers and
    workers fit at once; with 2 they would wait for each other for ever."""
    started = time.time()
    ray.init("local", num_cpus=2 * LANES, include_dashboard=False, log_to_driver=False)
    given = ray.put(shared(out))

    def trial(config: dict) -> None:
        def loop(config: dict) -> None:
            run_job(config["job"], ray.get(given))

        TorchTrainer(loop, train_loop_config=config, scaling_config=ScalingConfig(num_workers=1)).fit()
        tune.report({"done": 1})

    search(trial, jobs(asked, "recipe"), out)
    ray.shutdown()
    return since(started, out, "recipe/*")


def calibrate(seconds: float, out: Path) -> int:
    """Epochs that take about so long."""
    torch.set_num_threads(1)
    given = shared(out)
    for run in itertools.count():
        taken = train_alone(f"calibrate_{run}", space(100, 1).first_experiment(MODEL), given)
        if run == 1:  # the first warms up
            return max(1, round(100 * seconds / taken))
    raise AssertionError


def apart(measure: Callable[..., Any], *arguments: object) -> Any:
    """Calls it in a process of its own; its last argument is a folder that goes afterwards."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(measure, *arguments, Path(folder) / "sweep").result()


class Way(NamedTuple):
    name: str
    run: Callable[[Sweep, Path], tuple[float, float]]
    lanes: int
    trials: int


class Found(NamedTuple):
    """Seconds of one repeat."""

    each: float  # a trial's own work
    work: float  # of all of them
    call: float  # overhead a trial, from the call
    first: float  # from the first trial


def measure(way: Way, epochs: int) -> Found:
    asked = space(epochs, way.trials)
    with tempfile.TemporaryDirectory() as folder:
        work, each = own_work(asked, Path(folder), way.lanes)
    whole, running = apart(way.run, asked)
    return Found(sum(each) / way.trials, work, (whole - work) / way.trials, (running - work) / way.trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--slow-trials", type=int, default=6, help="of both ways that start processes a trial")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a trial's own work")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    epochs = apart(calibrate, asked.seconds)
    ways = (
        Way("genray sweep", ours, LANES, asked.trials),
        Way("(a) TorchTrainer a trial", recipe, LANES, asked.slow_trials),
        Way("(b) Tune function, no reuse", plain, LANES, asked.slow_trials),
        Way("(c) Optuna, a thread a lane", threads, LANES, asked.trials),
        Way("Optuna, one trial after the other", one_by_one, 1, asked.trials),
    )
    found: dict[str, list[Found]] = {way.name: [] for way in ways}
    for _ in range(asked.repeats):
        for way in ways:
            found[way.name].append(measure(way, epochs))
    print(header("Overhead of a trial", ["ray", "optuna", "torch"]))
    print(
        f"VAE on the embedded digits, {epochs} epochs a trial, {LANES} lanes, repeated {asked.repeats} times in turns. "
        f"Seconds of wall time: median (range); the machine's load was {load:.1f} before. "
        f"From the first trial, the starts of the first {LANES} trials are left out, which favours (a) and (b).\n"
    )
    print("| | trials | own work a trial | own work of all | overhead a trial, from the call | from the first trial |")
    print("|---|---|---|---|---|---|")
    for way in ways:
        columns = zip(*found[way.name], strict=True)
        print(f"| {way.name} | {way.trials} | {' | '.join(spread(column) for column in columns)} |")
    mine, group, threaded = (median(each.first for each in found[ways[i].name]) for i in (0, 1, 3))
    print("\n| from the first trial, medians | | target |\n|---|---|---|")
    print(f"| genray sweep, overhead a trial | {mine:.2f} s | at most 0.3 s |")
    print(f"| (a) against genray sweep | {group / mine:.0f} | at least 30 |")
    print(f"| genray sweep against (c) | {mine / threaded:.2f} | at most 3 |")


if __name__ == "__main__":
    from benchmarks import trial_overhead  # other processes find this module's functions by that name, not as __main__

    trial_overhead.main()
