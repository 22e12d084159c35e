"""How far trials come before a scheduler stops them, and how long lanes take for all runs: by playing it through."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import optuna

from genray.cluster.study import make_pruner
from genray.space import Sweep

_PLAYED = 400  # trials, over all repetitions
_EVERY_PERCENT = 5  # of a budget that is not in epochs, from one evaluation to the next: how often is known later
_MOST = 60  # trials of one repetition: the share that goes on no longer changes


def resource_of_trials(sweep: Sweep) -> list[int]:
    """Epochs, or per cent of another budget, that trials spend whose scores come in random order, and whose ranks stay
    as they are: the sweep's own pruner decides, over scores that are drawn. A sampler that learns brings better trials
    later, of which fewer are stopped.
    """
    if sweep.scheduler is None:
        return [sweep.most_resource]
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw, trials = random.Random(0), min(sweep.num_trials, _MOST)  # noqa: S311  nothing secret
    try:
        return [n for _ in range(max(1, _PLAYED // trials)) for n in _played(sweep, trials, draw)]
    finally:
        optuna.logging.set_verbosity(before)


def _played(sweep: Sweep, trials: int, draw: random.Random) -> list[int]:
    study = optuna.create_study(
        direction="minimize", pruner=make_pruner(sweep), sampler=optuna.samplers.RandomSampler(seed=0)
    )
    first = sweep.first_experiment(sweep.models[0])
    every = first.evaluate_every if first.epochs else _EVERY_PERCENT
    return [_spent(study, draw.random(), every, sweep.most_resource) for _ in range(trials)]


def _spent(study: optuna.Study, score: float, every: int, last: int) -> int:
    trial = study.ask()
    for resource in range(every, last, every):
        trial.report(score, resource)
        if trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return resource
    trial.report(score, last)
    study.tell(trial, score)
    return last


@dataclass(frozen=True)
class Queue:
    """One model: seconds of each of its trials, and of its finalists or packs of them, which wait for all trials."""

    trials: tuple[float, ...]
    finalists: tuple[float, ...]


def wall_seconds(queues: Sequence[Queue], lanes: int) -> float:
    """Until the last run ends, where models take turns and each free lane takes the next run."""
    trials, finalists = [list(queue.trials) for queue in queues], [list(queue.finalists) for queue in queues]
    searching = [len(queue.trials) for queue in queues]  # trials that have not ended
    running: list[tuple[float, int, int, bool]] = []  # (end, order, model, trial)
    order, now, turn = count(), 0.0, 0
    while True:
        while len(running) < lanes:
            turns = [(turn + k) % len(queues) for k in range(len(queues))]
            model = next((m for m in turns if trials[m] or (finalists[m] and not searching[m])), None)
            if model is None:
                break
            is_trial, turn = bool(trials[model]), model + 1
            seconds = (trials if is_trial else finalists)[model].pop()
            heapq.heappush(running, (now + seconds, next(order), model, is_trial))
        if not running:
            return now
        now, _, model, is_trial = heapq.heappop(running)
        searching[model] -= is_trial
