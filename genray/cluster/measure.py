"""What a run costs, from a few of its steps, one evaluation and one checkpoint, in a process that could train it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from genray import checkpoint
from genray.cluster.place import scratch
from genray.config import Experiment
from genray.data.spec import TrainingData
from genray.distributions import Choice, Distribution, Integer, LogUniform, Value
from genray.errors import Fault, UserError
from genray.evaluation.judge import Judge
from genray.runs import Row, create_run
from genray.space import Sweep
from genray.train.distributed import Distributed
from genray.train.evaluator import Evaluator
from genray.train.log import RunLog
from genray.train.trainer import Trainer, make_trainer

PLACES = (0.1, 0.5, 0.9)  # of the training at which steps are timed: a model that grows is slower later
STEPS_S = 0.15  # of timed steps at each place
WARM_S = 30.0  # an evaluation that took longer is not done a second time
MODEL_S = 20.0  # for the points of one model; what is not measured by then is left out, and said
_FREE = ("optimizer.", "seed")  # keys of a search that change no step's time

Params = dict[str, Value]


class Given(NamedTuple):
    """What every run reads."""

    data: TrainingData
    judge: Judge  # over the validation split


@dataclass(frozen=True)
class Cost:
    """Seconds of the parts of a run."""

    build: float = 0.0
    step: float = 0.0
    epoch: float = 0.0  # beside its steps
    evaluation: float = 0.0
    checkpoint: float = 0.0
    steps_per_epoch: int = 0

    def epochs_of(self, experiment: Experiment) -> float:
        """Epochs that the budget makes."""
        limit = experiment.limit
        if limit.seconds is not None:
            return max(limit.seconds, self.step) / (self.steps_per_epoch * self.step + self.epoch)
        if limit.images is not None:
            return math.ceil(limit.images / experiment.batch_size) / self.steps_per_epoch
        return limit.epochs or 0

    def of(self, experiment: Experiment, epochs: float) -> float:
        """Seconds of a run that goes that far. An untrained model is evaluated too."""
        trained = epochs * (self.steps_per_epoch * self.step + self.epoch)
        evaluations = 1 + math.ceil(epochs / experiment.evaluate_every)
        return (
            self.build
            + trained
            + evaluations * self.evaluation
            + math.ceil(epochs / experiment.checkpoint_every) * self.checkpoint
        )


@dataclass(frozen=True)
class ModelCost:
    """One model over its space: its cheapest and its dearest run, and where between them the mean of the space lies."""

    model: str
    cheapest: Cost
    dearest: Cost
    weight: float  # 0: the mean costs what the cheapest does; 1: the dearest
    began: float  # time.time(), at which the process was ready
    left_out: tuple[str, ...] = ()  # keys of which not every value was measured

    def mean(self, seconds: Callable[[Cost], float]) -> float:
        low, high = seconds(self.cheapest), seconds(self.dearest)
        return low + self.weight * (high - low)


def measure(space: Sweep, model: str, given: Given, at: Distributed) -> ModelCost:
    """Every rank of a run calls it, with the same arguments."""
    began = time.time()
    torch.set_num_threads(max(1, int(space.first_experiment(model).resources.cpu)))
    nodes = {key: _nodes(d) for key, d in space.space(model).items() if not key.startswith(_FREE)}
    base: Params = {key: d.probes()[0] for key, d in space.space(model).items()}
    _steps(space.experiment_of(model, base), given, at)  # the first of a process are slow
    by_key, left_out = _by_key(space, model, nodes, base, given, at)
    ends = [base | {key: pick(times, key=times.__getitem__) for key, times in by_key.items()} for pick in (min, max)]
    costs = [_whole(_experiment(space, model, end, base), given, at) for end in ends]
    whole = space.first_experiment(model)
    cheapest, dearest = sorted(
        costs, key=lambda cost: cost.of(whole, cost.epochs_of(whole))
    )  # where all cost the same, by chance
    return ModelCost(model, cheapest, dearest, _weight(nodes, by_key), began, left_out)


def _nodes(distribution: Distribution) -> dict[Value, float]:
    """Values and weights, whose weighted sum is the mean over a range: Simpson's rule on a continuous one."""
    low: float
    high: float
    middle: float
    match distribution:
        case Choice():
            return dict.fromkeys(distribution.choice, 1 / len(distribution.choice))
        case LogUniform(loguniform=(low, high)):
            middle = math.sqrt(low * high)
        case Integer(int=(low, high), step=step):
            middle = low + round((high - low) / 2 / step) * step
        case _:
            low, high = distribution.uniform
            width = distribution.step or (high - low) / 2
            middle = low + round((high - low) / 2 / width) * width
    weights: dict[Value, float] = {}
    for value, weight in ((low, 1 / 6), (middle, 4 / 6), (high, 1 / 6)):
        weights[value] = weights.get(value, 0.0) + weight
    return weights


def _by_key(
    space: Sweep, model: str, nodes: dict[str, dict[Value, float]], base: Params, given: Given, at: Distributed
) -> tuple[dict[str, dict[Value, float]], tuple[str, ...]]:
    """Seconds of an epoch for each value of each key, the others at their first; and keys that time was lacking for."""
    end = time.monotonic() + MODEL_S
    by_key: dict[str, dict[Value, float]] = {}
    left_out = []
    for key, values in nodes.items():
        for value in values:
            if by_key and not at.agree(time.monotonic() < end):
                left_out.append(key)
                break
            try:
                experiment = space.experiment_of(model, base | {key: value})
            except UserError:  # a value that goes with others alone
                continue
            cost = _steps(experiment, given, at)
            by_key.setdefault(key, {})[value] = cost.steps_per_epoch * cost.step
    return by_key, tuple(left_out)


def _experiment(space: Sweep, model: str, params: Params, base: Params) -> Experiment:
    """Of an end of every key at once, where that is allowed; else of the first."""
    try:
        return space.experiment_of(model, params)
    except UserError:
        return space.experiment_of(model, base)


def _weight(nodes: dict[str, dict[Value, float]], by_key: dict[str, dict[Value, float]]) -> float:
    """Where the mean over the space lies, if each key scales an epoch whatever the others are."""
    mean = low = high = 1.0
    for key, times in by_key.items():
        total = sum(nodes[key][value] for value in times)
        mean *= sum(nodes[key][value] * seconds for value, seconds in times.items()) / total
        low, high = low * min(times.values()), high * max(times.values())
    return 0.0 if high <= low else min(max((mean - low) / (high - low), 0.0), 1.0)


def _steps(experiment: Experiment, given: Given, at: Distributed) -> Cost:
    """Times the making of a trainer, and steps at `PLACES` of the training, as many as make up a turn of each phase."""
    started = time.perf_counter()
    trainer = make_trainer(experiment, given.data, at)
    build = time.perf_counter() - started
    per_epoch = len(given.data.train) // experiment.batch_size
    turn = math.lcm(*(phase.every for phase in trainer.model.phases()))
    each = []
    for place in PLACES:
        first = trainer.meter.step_at(place)
        first -= first % turn
        for step in range(first, first + turn * trainer.num_first_steps):  # allocates, shuffles an epoch, records steps
            trainer.train_step(step)
        each.append(_timed(trainer, range(first, 1 << 62, turn), turn, at))
    started = time.perf_counter()
    with contextlib.suppress(Fault):  # steps of so many places are no training: a loss may well diverge
        trainer.end_epoch()
    return Cost(build, math.fsum(each) / len(each), time.perf_counter() - started, steps_per_epoch=per_epoch)


def _timed(trainer: Trainer, turns: Sequence[int], turn: int, at: Distributed) -> float:
    """Seconds a step. Rank 0 says how many are done: the others wait for it in every step."""
    _wait(at)
    started, steps = time.perf_counter(), 0
    for first in turns:
        for step in range(first, first + turn):
            trainer.train_step(step)
        steps += turn
        if at.device.type != "cpu" and steps < 8 * turn:
            continue  # enough for the device not to wait for the program
        _wait(at)
        if not at.agree(time.perf_counter() - started < STEPS_S):
            break
    return (time.perf_counter() - started) / steps


def _wait(at: Distributed) -> None:
    if at.device.type == "cuda":
        torch.cuda.synchronize(at.device)
    elif at.device.type == "mps":
        torch.mps.synchronize()


def _whole(experiment: Experiment, given: Given, at: Distributed) -> Cost:
    """Steps, one evaluation after one that warms up, and one checkpoint."""
    trainer, cost = make_trainer(experiment, given.data, at), _steps(experiment, given, at)
    if at.rank > 0:
        return cost
    with scratch() as folder:
        run = create_run(folder, experiment)
        with RunLog(run, epoch=0) as log:
            evaluator = Evaluator(trainer, run, log, given.judge, given.data, lambda: None)
            evaluation = _seconds(lambda: evaluator(trainer.untrained_row()))
            if evaluation < WARM_S:  # the first of a process imports what metrics need
                evaluation = min(evaluation, _seconds(lambda: evaluator(trainer.untrained_row())))
            row: Row = {f"train/{i}/loss": 0.0 for i in range(8)} | {"epoch": 1}
            logged = _seconds(lambda: log.row(row))
        saved = _seconds(lambda: checkpoint.save(run.checkpoint_path, trainer.state(), given.data.spec))
    return Cost(cost.build, cost.step, cost.epoch + logged, evaluation, saved, cost.steps_per_epoch)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
