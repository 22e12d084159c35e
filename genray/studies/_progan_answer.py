"""The answer of `progan_ablation`: the table as it came out, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from statistics import fmean

import numpy as np

from genray.intervals import summarize
from genray.metrics.modes import expected_modes
from genray.report.answer import Answer, Check, Figure, Table
from genray.report.drawing import film, panels
from genray.report.words import counted
from genray.studies._claims import Claim, checked, rule
from genray.studies._mnist import differences, over_seeds, seeds_of
from genray.studies._progan_rows import REAL, ROWS, STACKED, STACKED_BATCH_SIZE, Work
from genray.studies._stacked import NUM_MODES, paired, true_shares
from genray.studies.base import Outcome

Found = Mapping[str, Sequence[Outcome]]  # the runs of each label, seed by seed

LOOKED_UP_IN = "the paper and its authors' code, github.com/tkarras/progressive_growing_of_gans"
STEPS = {  # a part, and the rows without it and with it
    "growth": ("(a) WGAN-GP", "(b) + growth"),
    "the small minibatch": ("(b) + growth", "(c) + small minibatch"),
    "training without batch normalization": ("(c) + small minibatch", "(d) + revised training"),
    "minibatch discrimination": ("(d) + revised training", "(e*) + minibatch discrimination"),
    "minibatch standard deviation": ("(d) + revised training", "(e) + minibatch stddev"),
    "the equalized rate": ("(e) + minibatch stddev", "(f) + equalized rate"),
    "pixelwise normalization": ("(f) + equalized rate", "(g) + pixelwise norm"),
}


def answer_of(parts: Found, modes: Found, work: Work) -> Answer:
    every = [run for runs in (*parts.values(), *modes.values()) for run in runs]
    seeds = seeds_of({**parts, **modes})
    tables = [*([_parts(parts, work)] if parts else []), *([_modes(modes, work)] if modes else [])]
    checks = _checks(parts, modes)
    return Answer(
        summary=[*_summary(parts, modes, work), *rule(checks)],
        checks=checks,
        tables=[*tables, differences(_differing(work, seeds), LOOKED_UP_IN)],
        figures=[_figure(parts)] if parts else [],
        data={"runs": [{key: value for key, value in run.items() if key != "samples"} for run in every]},
    )


def _swd(run: Outcome) -> float:
    return fmean(run["swd"].values())


def _mean_swd(runs: Sequence[Outcome]) -> list[float]:
    return [_swd(run) for run in runs]


def _summary(parts: Found, modes: Found, work: Work) -> list[str]:
    mean = {label: summarize(_mean_swd(runs))["mean"] for label, runs in parts.items() if label != REAL}
    real = f"; {REAL} have {summarize(_mean_swd(parts[REAL]))['mean']:.1f}" if REAL in parts else ""
    counts = "; ".join(
        f"{label} {over_seeds([run['modes'] for run in runs], 0)} (paper {STACKED[label][1]})"
        for label, runs in modes.items()
    )
    said = []
    if mean:
        best, worst = (pick(mean, key=mean.__getitem__) for pick in (min, max))
        said.append(
            f"After {counted(work.epochs, 'epoch')} of {work.num_images:,} images {best} has the least distance "
            f"({mean[best]:.1f}), and the largest is that of {worst} ({mean[worst]:.1f}){real}."
        )
    return [*said, f"Modes of stacked MNIST, of {NUM_MODES:,}: {counts or 'not counted yet'}."]


def _checks(parts: Found, modes: Found) -> list[Check]:
    """Of runs with the same seed. What holds is what the paper's table says of the part, better or worse."""
    claims = []
    for part, (without, with_it) in STEPS.items():
        changes = paired(parts.get(with_it, []), parts.get(without, []), _swd)
        paper = fmean(ROWS[with_it].paper_swd) - fmean(ROWS[without].paper_swd)
        sign, says = (1, "raises") if paper > 0 else (-1, "lowers")
        found = f"{_moved(changes, 1)}; in the paper {_way(paper)} {abs(paper):.2f}" if changes else ""
        claims.append(Claim(f"{part} {says} the mean distance".capitalize(), found, [sign * c for c in changes]))
    before, after = (modes.get(label, []) for label in STACKED)
    more = paired(after, before, itemgetter("modes"))
    found = f"{_moved(more, 0)}; in the paper raised by 24" if more else ""
    claims.append(Claim("Minibatch standard deviation covers more modes of stacked MNIST", found, more))
    return checked(claims)


def _moved(changes: Sequence[float], decimals: int) -> str:
    """`lowered by 4.5 ± 166.7, paired by seed`"""
    way = _way(fmean(changes))
    sizes = [-change for change in changes] if way == "lowered by" else changes
    return f"{way} {over_seeds(sizes, decimals)}, paired by seed"


def _way(change: float) -> str:
    return "raised by" if change > 0 else "lowered by"


def _parts(parts: Found, work: Work) -> Table:
    sides = list(next(iter(parts.values()))[0]["swd"])
    rows = []
    for label, runs in parts.items():
        paper = ROWS.get(label)
        rows.append(
            [
                label,
                *[over_seeds([run["swd"][side] for run in runs], 1) for side in sides],
                over_seeds(_mean_swd(runs), 1),
                over_seeds([run["ms_ssim"] for run in runs], 3),
                " ".join(f"{value:.2f}" for value in paper.paper_swd) if paper else "-",
                f"{fmean(paper.paper_swd):.2f}" if paper else "-",
                f"{paper.paper_ms_ssim:.4f}" if paper else "-",
                over_seeds([run["train_seconds"] for run in runs], 0) if paper else "-",
            ]
        )
    paper_columns = ["paper: 128 64 32 16", "paper: mean", "paper: MS-SSIM"]
    return Table(
        "Sliced Wasserstein distance x 1,000 by pyramid level, and MS-SSIM",
        ["row", *sides, "mean", "MS-SSIM", *paper_columns, "training [s]"],
        rows,
        f"{work.num_samples:,} samples against as many test images, MNIST in a canvas of 32 x 32; MS-SSIM of half as "
        f"many pairs. Mean over {seeds_of(parts)} ± its 95 % interval. The paper's figures here were "
        f"not checked against it; one run on CelebA, 128 x 128: "
        f"the order of rows compares, the numbers do not.",
    )


def _modes(modes: Found, work: Work) -> Table:
    rows = [
        [
            label,
            over_seeds([run["modes"] for run in runs], 0),
            str(STACKED[label][1]),
            over_seeds([run["kl_nats"] for run in runs], 2),
            over_seeds([run["train_seconds"] for run in runs], 0),
        ]
        for label, runs in modes.items()
    ]
    expected = expected_modes(true_shares(), work.stacked_samples)
    return Table(
        "Modes of stacked MNIST, of 1,000",
        ["row", "modes", "paper (K/4)", "KL [nats]", "training [s]"],
        rows,
        f"Of {work.stacked_samples:,} samples, each plane named by a classifier of digits; as many draws of the true "
        f"shares cover {expected:.1f}. WGAN-GP without growth, batches of {STACKED_BATCH_SIZE}.",
    )


def _differing(work: Work, seeds: str) -> list[tuple[str, str, str]]:
    return [
        ("images", "CelebA at 128 x 128", "MNIST, 28 x 28 in a canvas of 32 x 32: two levels of the pyramid"),
        (
            "images seen",
            "10 million",
            f"{work.epochs * work.num_images:,}: {counted(work.epochs, 'epoch')} of {work.num_images:,}",
        ),
        ("channels at 4 x 4", "512 in the code of (h)", f"{work.hidden}, half of them a level, but no fewer than 8"),
        ("(a) normalization of the critic", "layer normalization", "none"),
        ("(d) revised training", "new rates, no batch and layer normalization", "no batch normalization"),
        ("samples compared", "16,384; 10,000 pairs", f"{work.num_samples:,}; {work.num_samples // 2:,} pairs"),
        ("(h) trained to the end", "2.96, MS-SSIM 0.2828", "not run"),
        (
            "stacked MNIST",
            "the discriminator of Metz et al. 2016, K/4",
            f"{work.stacked_hidden} channels at 4 x 4, {counted(work.stacked_epochs, 'epoch')} of "
            f"{work.stacked_images:,} images",
        ),
        ("runs", "1", seeds),
    ]


def _figure(parts: Found) -> Figure:
    drawing, axes = panels(len(parts), 1, size=(6.4, 0.75))
    for panel, (label, runs) in zip(axes, parts.items(), strict=True):
        samples = np.array(runs[0]["samples"], np.uint8)
        film(panel, samples, f"{label}: {over_seeds(_mean_swd(runs), 1)}")
    return Figure(
        "samples",
        "The first samples of each row, and its mean distance x 1,000",
        "Of the first seed. Does the distance follow what the eye says?",
        drawing,
    )
