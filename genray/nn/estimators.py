"""Estimates of ∇E_q[f(z)] from draws of q, each given as a surrogate: its value is the mean of f over the draws, its
gradient is the estimate. All of them are unbiased, and linear in f.

`q` is anything with a `log_prob`, such as a posterior of genray or a torch.distributions object; `z` are n draws of it
(n, *batch, *event), and `f` maps them to (n, *batch). f may depend on parameters itself: ∇E_q[f] = E_q[f ∇ln q + ∇f].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from genray.errors import UserError

# n draws; "..." the batch: one q for each image, say; P parameters of q

Function = Callable[[Tensor], Tensor]


class Density(Protocol):
    def log_prob(self, z: Tensor, /) -> Tensor: ...


Estimator = Callable[[Density, Function, Tensor], Tensor]


def reparameterization(q: Density, f: Function, z: Tensor) -> Tensor:
    """z = z(θ, ε) is differentiated itself: ∇f(z(θ, ε)). Kingma & Welling 2014. `z` comes from `q.rsample`.

    Raises UserError for a q without `rsample`.
    """
    if not getattr(q, "has_rsample", hasattr(q, "rsample")):
        raise UserError(
            f"reparameterization needs a q with rsample, got {type(q).__name__}, whose draws have no derivative; "
            f"take score_function, control_variate or leave_one_out"
        )
    return f(z).mean(0)


def score_function(q: Density, f: Function, z: Tensor) -> Tensor:
    """f(z) ∇ln q(z), for any f and q. REINFORCE, Williams 1992."""
    z = z.detach()
    value = f(z)
    return _surrogate(value, q.log_prob(z), value)


def leave_one_out(q: Density, f: Function, z: Tensor) -> Tensor:
    """(f(z⁽ⁱ⁾) − mean of f at the other draws) ∇ln q(z⁽ⁱ⁾). Mnih & Rezende 2016; Kool et al. 2019.

    The baseline knows nothing of z⁽ⁱ⁾, so it moves no expectation. Raises UserError for fewer than two draws.
    """
    z = z.detach()
    value = f(z)
    return _surrogate(value, q.log_prob(z), value - mean_of_others(value))


def control_variate(q: Density, f: Function, z: Tensor) -> Tensor:
    """(f(z⁽ⁱ⁾) − a⁽ⁱ⁾) ∇ln q(z⁽ⁱ⁾): the score s = ∇ln q, whose mean is 0, is the control variate of f s.

    One a for each q of the batch, the best for the sum of the variances over q's parameters: a* = Cov(f s, s) / Var(s)
    = E[f ‖s‖²] / E[‖s‖²] (Ranganath et al. 2014, eq. 8, where it is fitted on the draws that it corrects and biases
    the estimate: here a⁽ⁱ⁾ comes from the other draws). Raises UserError for fewer than two draws.

    s is taken with respect to the tensors that q holds, else to the parameters from which its log_prob is made;
    genray's own posteriors give it in closed form.
    """
    z = z.detach()
    value, log_q = f(z), q.log_prob(z)
    weight = _squared_scores(q, z, log_q)
    a = mean_of_others(weight * value) / mean_of_others(weight).clamp_min(torch.finfo(weight.dtype).tiny)
    return _surrogate(value, log_q, value - a)


def exact_entropy(estimator: Estimator) -> Estimator:
    """The estimator of ∇(E_q[f] + H(q)) with the entropy's gradient in closed form: of the ELBO, where f = ln p(x, z).

    The estimator raises UserError for a q without `entropy`.
    """
    return lambda q, f, z: estimator(q, f, z) + entropy_nats(q)


def entropy_nats(q: Density) -> Tensor:
    """H(q) (...) in closed form. Raises UserError for a q that does not know it."""
    try:
        entropy: Tensor = q.entropy()  # type: ignore[attr-defined]  # those that have one come here
    except (AttributeError, NotImplementedError):  # torch's distributions raise the second
        raise UserError(
            f"the exact entropy needs a q with entropy(), got {type(q).__name__}; add −ln q(z) to f instead"
        ) from None
    return entropy


def mean_of_others(x: Tensor) -> Tensor:
    """Of values (n, ...) of n draws, for each draw the mean over the n − 1 others, without gradient."""
    n = len(x)
    if n < 2:
        raise UserError(f"a baseline from the other draws needs at least 2 draws, got {n}; raise the number of draws")
    x = x.detach()
    return (x.sum(0) - x) / (n - 1)


def _surrogate(value: Tensor, log_q: Tensor, weight: Tensor) -> Tensor:
    """Mean over draws of `value`, whose gradient is that of `value` and weight · ∇ln q."""
    return (value + weight.detach() * (log_q - log_q.detach())).mean(0)


def _squared_scores(q: Density, z: Tensor, log_q: Tensor) -> Tensor:
    """‖∇ln q(z)‖² (n, ...) of each draw."""
    if not log_q.requires_grad:  # nothing of q is trained: its score weighs nothing
        return torch.ones_like(log_q)
    if hasattr(q, "scores"):
        scores: Tensor = q.scores(z)
        return scores.detach().square().sum(-1)
    found = {id(t): t for t in _held(q)} or {id(t): t for t in _leaves(log_q)}
    n, batch = len(log_q), log_q.shape[1:]
    each = torch.eye(n, dtype=log_q.dtype, device=log_q.device).view(n, n, *(1 for _ in batch)).expand(n, n, *batch)
    gradients = torch.autograd.grad(
        log_q, list(found.values()), each, retain_graph=True, is_grads_batched=True, allow_unused=True
    )
    return sum((_norms(g, batch) for g in gradients if g is not None), start=torch.zeros_like(log_q)).detach()


def _norms(gradient: Tensor, batch: torch.Size) -> Tensor:
    """Squared norms (n, ...) of gradients (n, ..., P); of a parameter that the whole batch shares, (n, 1)."""
    own = gradient.shape[1 : 1 + len(batch)] == batch
    return gradient.reshape(len(gradient), *(batch if own else (1 for _ in batch)), -1).square().sum(-1)


def _held(q: object) -> Iterator[Tensor]:
    """The tensors with gradients among q's attributes, and its parts' (as in torch's Independent)."""
    if isinstance(q, nn.Module):
        yield from q.parameters()
    for value in vars(q).values():
        if isinstance(value, Tensor) and value.requires_grad:
            yield value
        elif hasattr(value, "log_prob"):
            yield from _held(value)


def _leaves(x: Tensor) -> Iterator[Tensor]:
    """The tensors at the ends of x's graph that gradients reach."""
    waiting, seen = [x.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [following for following, _ in node.next_functions]


ESTIMATORS: dict[str, Estimator] = {
    "reparameterization": reparameterization,
    "score_function": score_function,
    "control_variate": control_variate,
    "leave_one_out": leave_one_out,
}
FROM_OTHERS = frozenset({"control_variate", "leave_one_out"})  # those that need two draws
