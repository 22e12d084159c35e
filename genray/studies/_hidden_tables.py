"""The tables of the study `hidden_size`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genray.intervals import summarize
from genray.report.answer import Table
from genray.report.comparison import known_scores
from genray.report.tables import NONE, metric_head
from genray.report.words import counted, estimate, listed, number
from genray.studies._hidden_tests import (
    LARGE,
    MARGIN,
    MIDDLE,
    MODELS,
    PRIMARY,
    SIZES,
    SMALL,
    PairedTest,
    paired,
    scores_of,
)
from genray.studies._paired import LEVEL, smallest_flip_p
from genray.studies.base import Outcome

SHOWN = (PRIMARY, "precision", "recall", "density", "coverage", "elbo")  # beside cost; figures show every score
VERDICTS = {"little": "changes little", "more": "changes more", "undecided": "not decided"}

SECONDS = "Seconds: the least over seeds, as what else a machine does only adds to them."
NO_SECONDS = (
    "Training seconds are left out: the seeds of a part trained as one on a GPU, which other parts shared, so that "
    "they are no measure of a training's cost."
)


def fastest(runs: Sequence[Outcome]) -> float:
    return min(float(run["train_seconds"]) for run in runs)


def compared(runs: Sequence[Outcome]) -> list[str]:
    """Every score that some run has: the primary one, then those of most models."""
    there = {key for run in runs for key in run["scores"]}
    models = {key: len({run["model"] for run in runs if key in run["scores"]}) for key in there}
    return sorted(there, key=lambda key: (key != PRIMARY, -models[key], list(known_scores()).index(key)))


def models_of(runs: Sequence[Outcome]) -> list[str]:
    return [model for model in MODELS if any(run["model"] == model for run in runs)]


def timed(work: Mapping[str, Any], runs: Sequence[Outcome]) -> bool:
    """Whether each run's seconds are its own: a pack's, on a GPU, are not."""
    return min(work["pack"], work["seeds"]) == 1 or all(run["device"] != "cuda" for run in runs)


def scores(runs: Sequence[Outcome], real: Outcome, *, seconds: bool) -> Table:
    shown = [metric for metric in SHOWN if metric in compared(runs)]
    by_metric = {metric: scores_of(runs, metric) for metric in shown}
    rows = []
    for model in models_of(runs):
        for hidden in SIZES:
            mine = [run for run in runs if (run["model"], run["hidden"]) == (model, hidden)]
            found = [by_metric[metric].get((model, hidden), {}) for metric in shown]
            cells = [_mean(list(values.values())) if values else NONE for values in found]
            cost = [f"{mine[0]['num_parameters']:,}", *([f"{fastest(mine):.1f}"] if seconds else [])]
            rows.append([MODELS[model].title, str(hidden), *cells, *cost])
    floor = [real["floor"].get(metric) for metric in shown]
    cells = [estimate(found["mean"], found["ci95"]) if found else NONE for found in floor]
    about = ["parameters", *(["training [s]"] if seconds else [])]
    rows.append(["real images (floor)", NONE, *cells, *[NONE] * len(about)])
    given = {MODELS[run["model"]].title: run["samples_given"] for run in runs if run["samples_given"]}
    return Table(
        "Scores on the test split",
        ["model", "h", *map(metric_head, shown), *about],
        rows,
        f"{real['num_samples']:,} samples from the prior of averaged weights, against {real['num_test']:,} test "
        f"images, which were scored once, after the last epoch, by the extractor {real['extractor']}. Mean over "
        f"{counted(_seeds(runs), 'seed')} ± half of its 95 % interval. The floor: as many training images in the place "
        f"of samples, 5 draws. {''.join(f'{title} is given {what}. ' for title, what in given.items())}"
        f"{SECONDS if seconds else NO_SECONDS}",
    )


def answers(tests: Sequence[PairedTest]) -> Table:
    rows = [
        [
            test.label,
            estimate(test.mean, test.ci95),
            f"{round(test.percent)}",
            NONE if test.margins is None else estimate(*_interval(test.margins)),
            number(test.p),
            number(test.holm_p),
            number(test.flip_p),
            VERDICTS.get(test.verdict, f"{test.verdict}"),
        ]
        for test in tests
    ]
    columns = ["difference", "mean", "%", "margin", "p (t)", "p (t, Holm)", "p (sign flip)", "verdict"]
    return Table("The questions as paired tests of the Fréchet distance", columns, rows, _about(tests))


def _about(tests: Sequence[PairedTest]) -> str:
    pairs = min(len(test.differences) for test in tests)
    return (
        f"Below 0 the first is better. Pairs share the seed, and with it the batches in their order and the noise of "
        f"equal shapes; mean over {counted(pairs, 'pair')} ± half of its 95 % Student-t interval, and in percent of "
        f"the second's mean. p (t): Student's paired t, two-sided, which has no smallest value but takes the "
        f"differences to be normal. {LARGE} against {MIDDLE} is asked twice: whether the difference is 0, and whether "
        f"it is little, so that it can be better and yet little. The latter's p is the smaller of two: that the change "
        f"is beyond the margin, and that it is within; of these one is true. Both are one-sided tests of each seed's "
        f"margin less or plus its difference, so that the margin's own error counts. The tenth was set beforehand: a "
        f"seed's margin is {100 * MARGIN:g} % of its way from the floor, whose mean is taken as exact, to h = {SMALL}. "
        f"Holm: corrected for all {len(tests)} questions, these two of each model among them; a verdict takes a "
        f"corrected p below {LEVEL:g}, whatever the interval, which is not corrected. p (sign flip) is exact without "
        f"normality, and for {counted(pairs, 'pair')} never below {number(smallest_flip_p(pairs))}: it stands beside, "
        f"and decides nothing."
    )


def other_scores(runs: Sequence[Outcome]) -> list[Table]:
    """The same differences of sizes by every other score."""
    return [_steps(runs, first, second) for first, second in ((MIDDLE, SMALL), (LARGE, MIDDLE))]


def _steps(runs: Sequence[Outcome], first: int, second: int) -> Table:
    models, rows = models_of(runs), []
    for metric in compared(runs)[1:]:
        found = scores_of(runs, metric)
        differences = [paired(found.get((model, first), {}), found.get((model, second), {})) for model in models]
        rows.append([metric_head(metric), *(_mean(values) if values else NONE for values in differences)])
    return Table(
        f"{first} less {second} by every other score",
        ["score", *(MODELS[model].title for model in models)],
        rows,
        "Paired by seed, mean ± half of its 95 % interval; ↑: above 0 is better, ↓: below. Not corrected for their "
        "number, so some will lie off 0 by chance: no verdict is drawn from them.",
    )


def protocol(work: Mapping[str, Any], full: Mapping[str, Any], runs: Sequence[Outcome], real: Outcome) -> Table:
    """What was done, and where that is less than the full budget."""
    there = dict(work) | {"models": listed([MODELS[name].title for name in work["models"]])}
    whole = dict(full) | {"models": listed([MODELS[name].title for name in full["models"]])}
    rows = [[key.replace("_", " "), _plain(there[key]), _plain(whole[key])] for key in full]
    rows.append(["training images", f"{real['num_train']:,}", NONE])
    rows.append(["trained on", listed(sorted({run["device"] for run in runs})), NONE])
    return Table(
        "What was run",
        ["what", "here", "full budget"],
        rows,
        "All else is each model's default, the same at every size: learning rates, dropout, latent dimensions, loss "
        "weights, averaged weights. CVAE and joint VAE learn with labels. ProGAN is left out: its hidden size counts "
        "channels of convolutions.",
    )


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _mean(values: Sequence[float]) -> str:
    return estimate(*_interval(values))


def _interval(values: Sequence[float]) -> tuple[float, float | None]:
    found = summarize(values)
    return found["mean"], found["ci95"]


def _seeds(runs: Sequence[Outcome]) -> int:
    return len({run["seed"] for run in runs})
