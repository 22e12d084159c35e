"""Control rows of a comparison: what the controls score on the test split, under the models' own protocol."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genray import extractors, files, metrics
from genray.cache import cache_dir
from genray.config import Experiment
from genray.controls import gaussian_mixture, memorizer, pca
from genray.data import datasets
from genray.data.spec import Dataset
from genray.errors import UserError
from genray.evaluation.attempt import Failures
from genray.evaluation.judge import Judge, evaluating, make_judge, training_features
from genray.images import save_png
from genray.intervals import summarize
from genray.models.base import GenerativeModel, build
from genray.pictures.catalogue import Shown, samples
from genray.provenance import commit
from genray.samplers import PRIOR, Sampler
from genray.version import __version__

Row = dict[str, Any]
Make = Callable[[int], GenerativeModel]  # by a seed

SEEDS = (0, 1, 2)  # of the fit and of the samples; a score of 10,000 MNIST images takes 1.3 s on 2 cores
SEED_SHOWN = SEEDS[0]
ABOUT = {
    "memorizer": "replays training images",
    "gaussian_mixture": "a Gaussian mixture fitted to pixels",
    "pca": "probabilistic PCA fitted to pixels",
    "untrained": "a model before its first step",
}


def control_rows(experiment: Experiment, result: Mapping[str, Any], metric_names: Sequence[str]) -> list[Row]:
    """One for each control, beside runs of which `experiment` and `result` are those of one. Kept in GENRAY_CACHE with
    a picture of each one's samples, so that a page is made again without the dataset.

    Raises UserError where the dataset is not on this machine, or is not the one that the runs were scored on.
    """
    key = _key(experiment, result, metric_names)
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_dir() / "controls" / name
    path = folder / "rows.json"
    if (kept := _kept(path)) is not None:
        return kept
    data = _dataset(experiment, result)
    rows = score(_judge(result, data, metric_names), data, experiment, folder)
    files.write_json(path, files.sealed({"rows": rows}))  # last: where it is, the pictures are
    return rows


def _kept(path: Path) -> list[Row] | None:
    """Rows that were written before; None where they are not there, or not as they were written."""
    try:
        kept = json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return kept["rows"] if files.is_sealed(kept) else None


def score(judge: Judge, data: Dataset, experiment: Experiment, folder: Path) -> list[Row]:
    """Of each control over SEEDS, as a comparison's rows have it; `untrained` is the model of `experiment`. Pictures of
    samples go into `folder`."""

    def untrained(seed: int) -> GenerativeModel:
        model = build(experiment.model, data.spec, seed)
        model.observe(data.train)
        return model

    fits = {"memorizer": memorizer.fit, "gaussian_mixture": gaussian_mixture.fit, "pca": pca.fit}
    rows = [_row(name, lambda seed: fit(data.train, data.spec, seed=seed), judge, folder) for name, fit in fits.items()]  # noqa: B023  called at once
    last = _row("untrained", untrained, judge, folder)
    return [*rows, last | {"about": f"{experiment.model.name} before its first step"}]


def _row(name: str, make: Make, judge: Judge, folder: Path) -> Row:
    picture = folder / f"{name}.png"
    seconds, scores, failed = 0.0, list[dict[str, float]](), Failures()
    num_parameters = 0
    for seed in SEEDS:
        started = time.perf_counter()
        model = make(seed)
        seconds += time.perf_counter() - started
        num_parameters = sum(p.numel() for p in model.parameters()) or sum(b.numel() for b in model.buffers())
        scores.append(judge.score(model, seed=seed, failed=failed))
        if seed == SEED_SHOWN:
            _show(model, judge, picture)
    return {
        "label": f"control: {name}",
        "control": name,
        "about": ABOUT[name],
        "seeds": list(SEEDS),
        "num_parameters": num_parameters,  # of those that are fitted, what they keep
        "train_seconds": seconds / len(SEEDS),
        "metrics": {key: summarize([each[key] for each in scores]) for key in _in_all(scores)},
        "failed": failed,
        "samples": str(picture),  # of SEED_SHOWN
    }


def _show(model: GenerativeModel, judge: Judge, path: Path) -> None:
    """Of the same draws as a run's samples.png."""
    with evaluating(model):
        save_png(path, samples(Shown(model, judge.split, "cpu", Sampler(PRIOR, model.sample))))


def _in_all(scores: Sequence[Mapping[str, float]]) -> list[str]:
    return [key for key in scores[0] if all(key in each for each in scores)]


def _key(experiment: Experiment, result: Mapping[str, Any], metric_names: Sequence[str]) -> list[Any]:
    """All that the rows depend on, the commit among them: a model's first weights are its code's."""
    versions = {name: score.version for name, score in metrics.scores().items()}
    given = [result.get(key) for key in ("fingerprint", "extractor", "classifier", "num_samples", "split")]
    return [
        *given,
        list(metric_names),
        versions,
        experiment.model.plain(),
        experiment.image_size,
        commit(),
        __version__,
        SEEDS,
    ]


def _dataset(experiment: Experiment, result: Mapping[str, Any]) -> Dataset:
    """The one that the runs were scored on. Nothing is downloaded for the controls alone."""
    for described in datasets.describe():
        if described.name == experiment.dataset and not described.is_present:
            raise UserError(f"{described.name} is not on this machine; `genray evaluate` on a run fetches it")
    data = datasets.load(experiment.dataset, image_size=experiment.image_size)
    if result["split"] != "test" or data.fingerprint != result.get("fingerprint"):
        raise UserError(
            f"{data.name} here is {data.fingerprint}, the runs were scored on {result.get('fingerprint')}, split "
            f"{result['split']}; compare where the runs were evaluated"
        )
    return data


def _judge(result: Mapping[str, Any], data: Dataset, metric_names: Sequence[str]) -> Judge:
    recipe = (result.get("extractor") or {}).get("recipe") or {}
    extractor = extractors.make(recipe.get("extractor", extractors.DEFAULT), data.training_data)
    for what, here in (("extractor", extractor), ("classifier", extractor.classifier)):
        used = result.get(what) or result.get("extractor") or {}
        if here.hash != used.get("hash"):
            raise UserError(
                f"the {what} here is {here.name} {here.hash}, the runs were scored by {used.get('name')} "
                f"{used.get('hash')}; run `genray evaluate` on each run again"
            )
    names, seen = tuple(metric_names), training_features(extractor, data.train, metric_names)
    return make_judge(extractor, data.test, names, result["num_samples"], train=seen, tuning=data.validation)
