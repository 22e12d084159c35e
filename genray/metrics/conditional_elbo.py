"""Evidence lower bound of one view of real images given the other, for models of x₁ → x₂."""

from __future__ import annotations

from genray.metrics.base import Context, Score, real_batches
from genray.models.base import HasConditionalLikelihood
from genray.nn.noise import Noise

NEEDS = "a likelihood p(x₂|x₁) of one view given the other"
MIN_IMAGES = 1
SCORES = {
    "conditional_elbo": Score(
        better="higher",
        unit="nats",
        summary="lower bound on ln p(x₂|x₁), mean over real images; comparable between equal views x₁, x₂ and equal "
        "likelihoods only",
        source="Sohn et al. 2015, Learning Structured Output Representation using Deep Conditional Generative Models",
        group="likelihood",
        judges="model",
        agree_on=("likelihood", "binarized", "condition", "views"),
    )
}


def compute(context: Context) -> dict[str, float]:
    """Mean of `conditional_elbo_nats` over the whole split."""
    model, split = context.model, context.split
    if not isinstance(model, HasConditionalLikelihood):
        return {}
    total = 0.0
    for start, batch in real_batches(split, context.device):
        noise = Noise(context.seed, "conditional_elbo", start, device=context.device)
        total += float(model.conditional_elbo_nats(batch, noise).sum())
    return {"conditional_elbo": total / len(split)}
