"""Var f̂ / Var f of a control variate, measured on other draws than those from which 1 − Corr(f, g)² is predicted."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from genray.nn.noise import Noise
from genray.nn.posteriors import Bernoulli, DiagonalGaussian, draw
from genray.studies._gradient_spread import Model

# M draws, B images, J components of the gradient (the posterior's parameters), K resamples

NUM_RESAMPLES = 200
MIN_DRAWS = 50  # that a variance must rest on: a bit that is hardly ever 1 has none to speak of


@torch.no_grad()
def ratios(model: Model, images: Tensor, *, num_draws: int, key: str) -> dict[str, list[dict[str, float]]]:
    """For the gradient that the encoder receives for each image, f s with f = ln p(x, z) − ln q(z|x) and the score
    s = ∇ln q as control variate g: `component`, with an a for each of its components, and `image`, with one a for all
    of them, as the estimator has it. Half of the draws predicts 1 − Corr² and fits a, the other half is measured.
    Components whose variance rests on too few draws are left out, and images without any other."""
    q = cast("DiagonalGaussian | Bernoulli", model.posterior(images))  # one layer, which knows its scores
    halves = []
    for half in range(2):
        z = draw(q, num_draws // 2, Noise(key, "half", half))
        f = model.log_likelihood(images)(z) + q.prior_log_prob(z) - q.log_prob(z)
        halves.append(_resampled(f.double(), q.scores(z).double(), Noise(key, "resample", half)))
    varies, found = _enough(halves, num_draws // 2), {}
    for name, pooled in (("component", False), ("image", True)):
        fit, measured = (_moments(half, varies, pooled=pooled) for half in halves)
        a = fit["fg"][:1] / fit["gg"][:1]  # the first is of all draws
        predicted = 1 - fit["fg"].square() / (fit["ff"] * fit["gg"])
        ratio = 1 - (2 * a * measured["fg"] - a.square() * measured["gg"]) / measured["ff"]
        found[name] = _points(predicted, ratio, varies.any(-1, keepdim=True) if pooled else varies)
    return found


def _resampled(f: Tensor, s: Tensor, noise: Noise) -> dict[str, Tensor]:
    """Means (1 + K, B, J) of f s, of s, of their products and of how often s is positive, f (M, B) and s (M, B, J):
    over the draws, and over K bootstrap resamples of them."""
    num_draws = len(f)
    chosen = (noise.uniform(NUM_RESAMPLES, num_draws) * num_draws).long()
    counts = torch.zeros(NUM_RESAMPLES, num_draws, dtype=f.dtype).scatter_add_(
        1, chosen, torch.ones_like(chosen, dtype=f.dtype)
    )
    weights = torch.cat([torch.ones_like(counts[:1]), counts]) / num_draws
    fs = f[..., None] * s
    parts = {"f": fs, "g": s, "ff": fs.square(), "gg": s.square(), "fg": fs * s, "ffff": fs**4}
    parts["positive"] = (s > 0).to(s.dtype)
    return {name: torch.einsum("km,mbj->kbj", weights, part) for name, part in parts.items()}


def _moments(means: dict[str, Tensor], varies: Tensor, *, pooled: bool) -> dict[str, Tensor]:
    """Var f s, Var s and their covariance, (1 + K, B, J); `pooled` sums each over the components that vary (B, J):
    (1 + K, B, 1)."""
    central = {name: means[name] - means[name[0]] * means[name[1]] for name in ("ff", "gg", "fg")}
    return {name: (value * varies).sum(-1, keepdim=True) if pooled else value for name, value in central.items()}


def _enough(halves: list[dict[str, Tensor]], num_draws: int) -> Tensor:
    """Which components (B, J) rest on enough draws of both halves: by (Σ x²)² / Σ x⁴ of f s, and by how often s has
    either sign, as the score of a bit that never falls the other way is a constant."""
    smallest = torch.finfo(halves[0]["ffff"].dtype).tiny  # where nothing varies, 0 draws count
    effective = [half["ff"][0].square() / half["ffff"][0].clamp_min(smallest) for half in halves]
    shares = [share for half in halves for share in (half["positive"][0], 1 - half["positive"][0])]
    return num_draws * torch.stack([*effective, *shares]).amin(0) >= MIN_DRAWS


def _points(predicted: Tensor, ratio: Tensor, chosen: Tensor) -> list[dict[str, Any]]:
    """Of each chosen component and image, prediction, measurement and their bootstrap standard errors."""
    values = {
        "predicted": predicted[0],
        "predicted_error": predicted[1:].std(0),
        "measured": ratio[0],
        "measured_error": ratio[1:].std(0),
    }
    columns = {name: [float(f"{x:.5g}") for x in value[chosen].tolist()] for name, value in values.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
