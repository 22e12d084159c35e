"""What a sweep will need: seconds of a run, measured on the machines that would train it, times its runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from genray.cluster import environment
from genray.cluster.costs import Tell, measured
from genray.cluster.measure import Cost, Given, ModelCost
from genray.cluster.schedule import Queue, resource_of_trials, wall_seconds
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.overrides import with_values
from genray.report.words import counted, duration, listed, number
from genray.space import Sweep

if TYPE_CHECKING:
    from genray.evaluation.judge import Judge

OVERHEAD_S = 0.3  # of a run, in which nothing is trained: benchmarks/trial_overhead_cpu2_2026-11-27.md


@dataclass(frozen=True)
class Total:
    """Of all runs together. Hours of wall time, and of the CPUs and GPUs that runs hold."""

    hours: float
    gpu_hours: float
    cpu_hours: float
    money: float | None


@dataclass(frozen=True)
class Estimate:
    """`full`: every trial to its last epoch. `likely`: with the scheduler's early stopping, where there is one."""

    full: Total
    dearest: Total  # if each trial were the dearest of its space
    likely: Total | None
    lanes: int
    lines: list[str]

    def to_json(self) -> str:
        """One line: hours, gpu_hours, cpu_hours and money of `full`, the lines, and the other totals by name."""
        others = {"dearest": asdict(self.dearest), "likely": self.likely and asdict(self.likely)}
        return json.dumps({**asdict(self.full), "lanes": self.lanes, "lines": self.lines, **others}, allow_nan=False)


@dataclass(frozen=True)
class Prices:
    """Of an hour. None: not known."""

    gpu: float | None = None
    cpu: float | None = None

    def of(self, gpu_hours: float, cpu_hours: float) -> float | None:
        if self.gpu is None and self.cpu is None:
            return None
        return gpu_hours * (self.gpu or 0.0) + cpu_hours * (self.cpu or 0.0)


def estimate(
    space: Sweep,
    *,
    address: str | None = None,
    gpu_hour_price: float | None = None,
    cpu_hour_price: float | None = None,
    tell: Tell = lambda text: None,
    verbose: bool = False,
) -> Estimate:
    """Measures each model of a sweep on Ray, in processes with a run's resources, and multiplies. Trains nothing to its
    end. Raises UserError for a sweep that `genray.sweep` would refuse, and Fault where nothing could be measured.
    """
    started = time.monotonic()

    from genray import extractors
    from genray.data import datasets
    from genray.preflight import check_sweep

    first = space.first_experiment(space.models[0])
    tell(f"reading {first.dataset}")
    dataset = datasets.load(first.dataset, image_size=first.image_size)
    check_sweep(space, dataset.training_data)
    environment.prepare(address)

    from genray.cluster import resources

    tell("starting Ray" if environment.resolve(address) is None else "connecting to Ray")
    data_bytes = 2 * sum(split.images.nbytes for split in (dataset.train, dataset.validation))
    data_bytes += extractors.stored_bytes(first.extractor, len(dataset.train) + len(dataset.validation))
    with (
        resources.connected(address, data_bytes=data_bytes, verbose=verbose),
        resources.terminated_like_interrupted(),
    ):
        lanes = resources.count_lanes(first, space.lanes)
        gpu = resources.gpu_of(first.resources, first.workers)
        placed = space.model_copy(update={"experiment": with_values(space.experiment, {"resources.gpu": gpu})})
        tell("the feature network of the metrics, trained once a dataset")
        given = Given(dataset.training_data, _judge(first, dataset))
        begin_s, submitted = time.monotonic() - started, time.time()
        tell(f"measuring {listed(space.models)}")
        costs = measured(placed, given, lanes, tell)
        begin_s += max(0.0, min(cost.began for each in costs.values() for cost in each) - submitted)
    return _estimate(placed, costs, lanes, begin_s, dataset, Prices(gpu_hour_price, cpu_hour_price))


def _judge(experiment: Experiment, dataset: Dataset) -> Judge:
    from genray import extractors
    from genray.cluster.carried import carry
    from genray.evaluation.judge import make_judge, training_features

    data, names = dataset.training_data, experiment.metrics
    extractor = extractors.make(experiment.extractor, data)
    carry(extractor)
    seen = training_features(extractor, data.train, names)
    return make_judge(extractor, data.validation, names, experiment.num_samples, train=seen, tuning=data.train)


@dataclass(frozen=True)
class _Runs:
    """Seconds of the runs of one model."""

    trial: float  # on average over the space
    cheapest: float
    dearest: float
    stopped: float  # a trial on average, with early stopping
    finalist: float  # as dear as a trial can be, and scored on the test split


def _estimate(
    space: Sweep, costs: Mapping[str, Sequence[ModelCost]], lanes: int, begin_s: float, dataset: Dataset, prices: Prices
) -> Estimate:
    spent = resource_of_trials(space)
    runs = {model: _runs(space, each, spent, dataset) for model, each in costs.items()}

    def total(trial: Callable[[_Runs], float]) -> Total:
        return _total(space, runs, trial, lanes, begin_s, prices)

    full, dearest = total(lambda r: r.trial), total(lambda r: r.dearest)
    likely = total(lambda r: r.stopped) if space.scheduler else None
    left_out = sorted({key for each in costs.values() for cost in each for key in cost.left_out})
    lines = _lines(space, costs, runs, lanes, begin_s, full, dearest, likely, left_out)
    return Estimate(full, dearest, likely, lanes, lines)


def _runs(space: Sweep, costs: Sequence[ModelCost], spent: Sequence[int], dataset: Dataset) -> _Runs:
    experiment = space.first_experiment(costs[0].model)

    def mean(seconds: Callable[[Cost], float]) -> float:
        return OVERHEAD_S + fmean(cost.mean(seconds) for cost in costs)

    def whole(cost: Cost) -> float:
        return cost.of(experiment, cost.epochs_of(experiment))

    def until(cost: Cost, resource: int) -> float:
        share = cost.epochs_of(experiment) / space.most_resource  # exactly 1 where the resource is epochs
        return cost.of(experiment, resource * share)

    cheapest = OVERHEAD_S + fmean(whole(cost.cheapest) for cost in costs)
    dearest = OVERHEAD_S + fmean(whole(cost.dearest) for cost in costs)
    test = len(dataset.test) / len(dataset.validation) if experiment.num_samples is None else 1.0
    final = fmean(cost.dearest.evaluation for cost in costs) * test
    stopped = mean(lambda cost: fmean(until(cost, resource) for resource in spent))
    return _Runs(mean(whole), cheapest, dearest, stopped, dearest + final)


def _total(
    space: Sweep,
    runs: Mapping[str, _Runs],
    trial: Callable[[_Runs], float],
    lanes: int,
    begin_s: float,
    prices: Prices,
) -> Total:
    seeds, size, resources = space.finalists.seeds, space.pack_size, space.first_experiment(space.models[0])
    packs = [min(size, seeds - first) for first in range(0, seeds, size)]
    queues = [
        Queue((trial(r),) * space.num_trials, tuple(seeds * r.finalist for seeds in packs)) for r in runs.values()
    ]
    hours = sum(sum(queue.trials) + sum(queue.finalists) for queue in queues) / 3600 * resources.workers
    gpu, cpu = hours * (resources.resources.gpu or 0.0), hours * resources.resources.cpu
    return Total((begin_s + wall_seconds(queues, lanes)) / 3600, gpu, cpu, prices.of(gpu, cpu))


def _lines(
    space: Sweep,
    costs: Mapping[str, Sequence[ModelCost]],
    runs: Mapping[str, _Runs],
    lanes: int,
    begin_s: float,
    full: Total,
    dearest: Total,
    likely: Total | None,
    left_out: Sequence[str],
) -> list[str]:
    lines = []
    for model, r in runs.items():
        steps = [1000 * fmean(getattr(c, end).step for c in costs[model]) for end in ("cheapest", "dearest")]
        evaluation = fmean(c.mean(lambda cost: cost.evaluation) for c in costs[model])
        lines.append(
            f"{model}: a trial {duration(r.trial)} ({duration(r.cheapest)} to {duration(r.dearest)}): "
            f"a step {number(steps[0])} to {number(steps[1])} ms, an evaluation {duration(evaluation)}"
        )
    count = len(space.models) * space.num_trials
    lines.append(
        f"{counted(count, 'trial')} and {counted(len(space.models) * space.finalists.seeds, 'finalist')}, "
        f"{lanes} at once, after {duration(begin_s)} of beginning"
    )
    if space.trial_pack_size > 1:
        lines.append(f"up to {space.trial_pack_size} trials train as one: counted as if each was alone on a lane")
    if space.pack_size > 1:
        lines.append(
            f"{space.pack_size} finalists of a model train as one, on the resources of one run: counted as if they did "
            f"so one after the other"
        )
    lines.append(f"every trial to its end: {_words(full)}; never more than {_words(dearest)}")
    if likely is not None:
        share = fmean(resource_of_trials(space)) / space.most_resource
        lines.append(
            f"early stopping makes it less: about {_words(likely)}, if scores come in random order "
            f"({100 * share:.0f} % of the budget is spent)"
        )
    if left_out:
        lines.append(f"not every value of {listed(left_out)} was measured, as steps are slow: the mean may be off")
    if full.money is not None:
        lines.append("the money is for the hours that runs take; machines that start, wait or are idle cost as much")
    return lines


def _words(total: Total) -> str:
    """`1 h 12 min, 3.4 GPU hours, 3.4 CPU hours, 5.10`"""
    parts = [duration(3600 * total.hours)]
    parts += [f"{number(total.gpu_hours)} GPU hours"] if total.gpu_hours else []
    parts += [f"{number(total.cpu_hours)} CPU hours"]
    parts += [] if total.money is None else [f"money {total.money:,.2f}"]
    return ", ".join(parts)
