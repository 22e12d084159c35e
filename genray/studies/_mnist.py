"""What studies that train on MNIST share, and some that train on other images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genray.config import Experiment
from genray.data import datasets
from genray.data.downloads import data_root
from genray.data.spec import TrainingData
from genray.device import pick_device
from genray.errors import UserError
from genray.intervals import summarize
from genray.report.answer import Table
from genray.report.words import counted
from genray.studies._claims import Claim
from genray.studies.base import Outcome
from genray.train.distributed import Distributed
from genray.train.trainer import Trainer, make_trainer


def require_mnist(study: str) -> None:
    require_dataset("mnist", study)


def require_dataset(name: str, study: str) -> None:
    """Refuses to begin without it: a study does not download."""
    if not next(d for d in datasets.describe() if d.name == name).is_present:
        raise UserError(
            f"study {study} needs {name}, which is not in {data_root()}; set GENRAY_DATA to where it is, or let "
            f"`genray train vae --dataset {name} --set epochs=1` download it"
        )


def trainer_of(
    model: Mapping[str, Any],
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    data: TrainingData | None = None,
    **more: Any,
) -> Trainer:
    """On MNIST or what is given, without averaged weights, on a GPU where one is given."""
    data = data or datasets.load("mnist").training_data
    given = {"dataset": data.name, "seed": seed, "epochs": epochs, "batch_size": batch_size, "ema_decay": 0.0}
    experiment = Experiment.parse(given | {"model": dict(model)} | more)
    return make_trainer(experiment, data, Distributed.single(pick_device(None)))


def over_seeds(values: Sequence[float], decimals: int) -> str:
    """`86.76 ± 0.12`: the mean, and half of its 95 % interval where there is more than one seed."""
    found = summarize(values)
    half = "n/a" if found["ci95"] is None else f"{found['ci95']:.{decimals}f}"
    return f"{found['mean']:.{decimals}f} ± {half}"


def seeds_of(found: Mapping[str, Sequence[Outcome]]) -> str:
    """`3 seeds`, or `2 to 3 seeds` where some labels have more of them than others."""
    fewest, most = (f(len(runs) for runs in found.values()) for f in (min, max))
    return counted(most, "seed") if fewest == most else f"{fewest} to {counted(most, 'seed')}"


def gain(claim: str, what: str, better: Mapping[int, float], worse: Mapping[int, float]) -> Claim:
    """That `better` less `worse`, each of every seed, is above 0."""
    gains = [better[seed] - worse[seed] for seed in sorted(better.keys() & worse.keys())]
    return Claim(claim, f"{what}: {over_seeds(gains, 2)} nats, paired by seed" if gains else "", gains)


def cost(trainer: Trainer) -> Outcome:
    """Seconds of training, and where."""
    return {"train_seconds": round(trainer.train_seconds, 1), "device": trainer.distributed.device.type}


def runs_of(outcomes: Mapping[str, Outcome]) -> list[Outcome]:
    """Of parts that do several seeds each."""
    return [run for outcome in outcomes.values() for run in outcome["runs"]]


def by_label(runs: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """In the order in which labels come first; the seeds of each in theirs."""
    found: dict[str, list[Outcome]] = {}
    for run in sorted(runs, key=lambda r: (r["place"], r["seed"])):
        found.setdefault(run["label"], []).append(run)
    return found


def differences(rows: Sequence[tuple[str, str, str]], looked_up_in: str) -> Table:
    """What of the protocol is not as in the paper, and where it was looked up what the paper does."""
    note = f"What is known to differ. Looked up in {looked_up_in}; what neither says is left out."
    return Table("Where the protocol differs", ["what", "the paper", "here"], rows, note)
