"""Every estimator's mean over all draws that can come, each with its probability, is the exact gradient."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal

from genray.errors import UserError
from genray.nn import posteriors
from genray.nn.estimators import (
    ESTIMATORS,
    control_variate,
    exact_entropy,
    leave_one_out,
    mean_of_others,
    reparameterization,
    score_function,
)
from genray.nn.noise import Noise

# n draws, B densities, Z dimensions, S states

BITS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)  # (S, Z)
LOGITS = torch.tensor([[0.3, -1.2], [2.0, 0.1], [-3.0, 0.8]], dtype=torch.float64)  # (B, Z)
COUPLING = torch.tensor([[3.0, -1.0, 0.5], [-2.0, 4.0, 1.0]], dtype=torch.float64)
SCORE_FAMILY = [score_function, control_variate, leave_one_out]

every_of_score_family = pytest.mark.parametrize("estimator", SCORE_FAMILY, ids=lambda e: e.__name__)


class Closure:
    """A q with a log_prob and nothing else: what it depends on can be found in the graph alone."""

    def __init__(self, logits: Tensor) -> None:
        self.log_prob = lambda z: (z * logits - nn.functional.softplus(logits)).sum(-1)


def f_of(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """A function of bits (..., B, 2) that mixes them, and that depends on a parameter of its own."""
    return lambda z: 10 + z @ torch.tensor([1.0, -4.0], dtype=z.dtype) + weight * 6 * z.prod(-1)


BITWISE = {
    "genray": posteriors.Bernoulli,
    "torch": lambda logits: Independent(Bernoulli(logits=logits), 1),
    "probabilities": lambda logits: Independent(Bernoulli(probs=logits.sigmoid()), 1),
    "closure": Closure,
}


def gradients(value: Tensor, *parameters: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])


@pytest.mark.parametrize(("kind", "num_draws"), [*((kind, 2) for kind in BITWISE), ("genray", 3)])
@every_of_score_family
def test_mean_over_all_draws_is_the_exact_gradient(estimator, kind: str, num_draws: int) -> None:
    """For each density there are 4 states, so 4ⁿ draws: all densities take the same one, whose weights differ."""
    make = BITWISE[kind]
    logits, weight = LOGITS.clone().requires_grad_(), torch.tensor([0.5, 1.0, 2.0]).double().requires_grad_()
    f = f_of(weight)
    states = BITS[:, None].expand(4, 3, 2)
    probability = make(logits).log_prob(states).exp()
    exact_value = (probability * f(states)).sum(0)
    exact = gradients(exact_value.sum(), logits, weight)
    mean_value, mean = torch.zeros(3).double(), torch.zeros_like(exact)
    for chosen in itertools.product(range(4), repeat=num_draws):
        z = states[list(chosen)]
        surrogate = estimator(make(logits), f, z)
        of_draw = probability[list(chosen)].prod(0).detach()
        mean_value += of_draw * surrogate.detach()
        mean += gradients((of_draw * surrogate).sum(), logits, weight)
    torch.testing.assert_close(mean_value, exact_value.detach())
    torch.testing.assert_close(mean, exact)


@every_of_score_family
def test_categorical_is_unbiased(estimator) -> None:
    logits, values = torch.tensor([0.2, -1.0, 1.5]).double().requires_grad_(), torch.tensor([3.0, -5.0, 7.0]).double()
    exact = gradients((logits.softmax(0) * values).sum(), logits)
    mean = torch.zeros(3).double()
    for chosen in itertools.product(range(3), repeat=3):
        z = torch.tensor(chosen)
        probability = logits.detach().softmax(0)[z].prod()
        mean += probability * gradients(estimator(Categorical(logits=logits), lambda z: values[z], z), logits)
    torch.testing.assert_close(mean, exact)


def test_control_variate_is_the_optimum_fitted_on_the_other_draws() -> None:
    """Written out, for one Bernoulli: a⁽ⁱ⁾ = Σ_{j≠i} f s² / Σ_{j≠i} s², with s = z − p."""
    logit = torch.tensor([[0.7]]).double().requires_grad_()
    z = torch.tensor([1.0, 0.0, 1.0, 1.0]).double().view(4, 1, 1)
    f, s = (5 + 2 * z).flatten(), (z - logit.sigmoid()).flatten().detach()
    expected = 0.0
    for i in range(4):
        others = [j for j in range(4) if j != i]
        a = sum(f[j] * s[j] ** 2 for j in others) / sum(s[j] ** 2 for j in others)
        expected += (f[i] - a) * s[i] / 4
    for make in BITWISE.values():
        surrogate = control_variate(make(logit), lambda z: 5 + 2 * z.sum(-1), z)
        torch.testing.assert_close(gradients(surrogate.sum(), logit), expected.view(1))


def test_scores_found_by_autograd_are_those_in_closed_form() -> None:
    """The same estimate with torch's distributions, for which no closed form is known to genray."""
    mu, logvar = torch.randn(4, 3).double().requires_grad_(), torch.randn(4, 3).double().requires_grad_()
    z = torch.randn(5, 4, 3).double()
    ours = posteriors.DiagonalGaussian(mu, logvar)
    expected = torch.stack(
        [
            torch.cat([g[b] for g in torch.autograd.grad(ours.log_prob(z)[i, b], [mu, logvar], retain_graph=True)])
            for i in range(5)
            for b in range(4)
        ]
    )
    torch.testing.assert_close(ours.scores(z).flatten(0, 1), expected)


def test_a_constant_f_has_no_variance_under_a_baseline() -> None:
    logits = LOGITS.clone().requires_grad_()
    z = Bernoulli(logits=LOGITS).sample((6,))
    for estimator in (control_variate, leave_one_out):
        surrogate = estimator(posteriors.Bernoulli(logits), lambda z: torch.full(z.shape[:-1], 7.0).double(), z)
        assert gradients(surrogate.sum(), logits).abs().max() < 1e-12
        torch.testing.assert_close(surrogate.detach(), torch.full((3,), 7.0).double())


def test_measured_variance_falls_by_the_correlation_that_theory_names() -> None:
    """Var f̂ / Var f = 1 − Corr(f s, s)², variances and covariance summed over the gradient: exact over the states."""
    logits, f = torch.tensor([0.8, -0.4]).double(), f_of(torch.tensor(1.0).double())
    q = posteriors.Bernoulli(logits)
    probability, scores = q.log_prob(BITS).exp(), q.scores(BITS)

    def covariance(a: Tensor, b: Tensor) -> Tensor:
        return (probability[:, None] * (a * b)).sum() - ((probability @ a) * (probability @ b)).sum()

    integrand = f(BITS)[:, None] * scores
    explained = covariance(integrand, scores) ** 2
    predicted = 1 - explained / (covariance(integrand, integrand) * covariance(scores, scores))
    many = logits.expand(20_000, 2).clone().requires_grad_()  # as many estimates at once
    z = posteriors.Bernoulli(many).sample(128, Noise("variance"))
    variance = {}
    for estimator in (score_function, control_variate):
        (gradient,) = torch.autograd.grad(estimator(posteriors.Bernoulli(many), f, z).sum(), many)
        variance[estimator] = gradient.var(0).sum()
    ratio = (variance[control_variate] / variance[score_function]).item()
    assert ratio == pytest.approx(predicted.item(), rel=0.05)
    assert 0.01 < ratio < 0.5


def test_reparameterization_and_score_function_agree_on_a_gaussian() -> None:
    """E[z²] = μ² + σ² has the gradient 2μ in μ and σ² in ln σ²."""
    exact = torch.tensor([1.4, math.exp(-1.0)])
    for name, estimator in ESTIMATORS.items():
        mu, logvar = torch.full((20_000, 1), 0.7).requires_grad_(), torch.full((20_000, 1), -1.0).requires_grad_()
        q = posteriors.DiagonalGaussian(mu, logvar)
        surrogate = estimator(q, lambda z: z.square().sum(-1), q.rsample(4, Noise(name)))
        assert surrogate.shape == (20_000,)
        found = torch.stack([g.mean() for g in torch.autograd.grad(surrogate.sum(), [mu, logvar])])
        torch.testing.assert_close(found, exact, atol=0.05, rtol=0)


def test_exact_entropy_adds_its_gradient_in_closed_form() -> None:
    """With f = 0 the estimate of ∇(E[f] + H) has no variance: it is ∇H, here of torch's own entropy."""
    logits = LOGITS.clone().requires_grad_()
    q = Independent(Bernoulli(logits=logits), 1)
    exact = gradients(q.entropy().sum(), logits)
    z = q.sample((3,))
    for estimator in SCORE_FAMILY:
        for make in ("genray", "torch"):
            surrogate = exact_entropy(estimator)(BITWISE[make](logits), lambda z: 0 * z.sum(-1), z)
            torch.testing.assert_close(gradients(surrogate.sum(), logits), exact)


def test_what_a_q_cannot_is_refused_by_name() -> None:
    z, f = torch.ones(2, 3, 2).double(), lambda z: z.sum(-1)
    for q in (posteriors.Bernoulli(LOGITS), Bernoulli(logits=LOGITS), Closure(LOGITS)):
        with pytest.raises(UserError, match=rf"needs a q with rsample, got {type(q).__name__}.*take score_function"):
            reparameterization(q, f, z)
    with pytest.raises(UserError, match=r"exact entropy needs a q with entropy\(\), got Closure"):
        exact_entropy(score_function)(Closure(LOGITS), f, z)
    for estimator in (control_variate, leave_one_out):
        with pytest.raises(UserError, match="at least 2 draws, got 1"):
            estimator(posteriors.Bernoulli(LOGITS), f, z[:1])


def test_torch_distributions_reparameterize() -> None:
    loc = torch.zeros(3, requires_grad=True)
    q = Independent(Normal(loc, 1.0), 1)
    z = q.rsample((5,))
    torch.testing.assert_close(gradients(reparameterization(q, lambda z: z.sum(-1), z), loc), torch.ones(3))


def test_mean_of_others_leaves_one_out() -> None:
    torch.testing.assert_close(mean_of_others(torch.tensor([1.0, 2.0, 6.0])), torch.tensor([4.0, 3.5, 1.5]))
