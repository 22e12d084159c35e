import itertools
import math

import pytest
import torch
from torch import Tensor

from genray.errors import UserError
from genray.models.discrete_vae import DiscreteVAEConfig, Model
from genray.nn.noise import Noise
from tests.models.steps import Steps, digit_batch, make

LATENT = 3
CODES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=LATENT)))  # every code there is (8, Z)


def trained(**config: object) -> Model:
    """A model with few enough codes to go through them all, after a few steps: its posterior is not its prior."""
    model = make("discrete_vae", hidden=16, latent=LATENT, **config)
    steps = Steps(model)
    for step in range(60):
        steps.all(digit_batch(32, step=step % 8), step)
    assert isinstance(model, Model)
    return model


def every_code(model: Model, images: Tensor) -> tuple[Tensor, Tensor]:
    """ln p(x, z) and ln q(z|x) (8, B) of each code and image."""
    z = CODES[:, None].expand(-1, len(images), -1)
    return model.log_likelihood(images)(z) - LATENT * math.log(2), model.posterior(images).log_prob(z)


def exact_elbo(model: Model, images: Tensor) -> Tensor:
    log_joint, log_q = every_code(model, images)
    return (log_q.exp() * (log_joint - log_q)).sum(0)


def test_elbo_is_its_sum_over_all_codes_and_lies_below_the_log_likelihood() -> None:
    model, images = trained(), digit_batch(6, step=100)["image"]
    with torch.no_grad():
        draws = torch.stack([model.elbo_nats(images, Noise(k)) for k in range(200)])
        exact, evidence = exact_elbo(model, images), every_code(model, images)[0].logsumexp(0)
    assert (exact < evidence).all()
    assert (draws.std(0) > 0.1).any()
    assert ((draws.mean(0) - exact).abs() < 4 * draws.std(0) / math.sqrt(200) + 1e-3).all()


@pytest.mark.parametrize("kl_term", ["exact", "exact_entropy", "sampled"])
@pytest.mark.parametrize("estimator", ["score_function", "control_variate", "leave_one_out"])
def test_loss_is_unbiased_in_value_and_gradient(estimator: str, kl_term: str) -> None:
    """Against the exact bound, a sum over all codes, for one image many times in the batch; the encoder's head."""
    model = trained(estimator=estimator, kl_term=kl_term, num_draws=16)
    image = digit_batch(1)["image"]
    bias = model.encoder.head.bias
    exact = -exact_elbo(model, image).mean()
    (exact_gradient,) = torch.autograd.grad(exact, bias)
    losses, gradients = [], []
    for k in range(40):
        loss = model.loss({"image": image.expand(500, -1, -1, -1)}, Noise(k)).total
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, bias)[0])
    for found, expected in ((torch.stack(losses), exact.detach()), (torch.stack(gradients), exact_gradient)):
        standard_error = found.std(0) / math.sqrt(len(found))
        assert ((found.mean(0) - expected).abs() <= 4 * standard_error + 1e-4).all()
        assert (expected.abs() > 4 * standard_error).any()  # a gradient of 0 would not pass


def test_codes_are_probabilities_and_reconstructions_come_from_the_likelier_bits() -> None:
    model, images = trained(), digit_batch(5)["image"]
    codes = model.encode(images)
    torch.testing.assert_close(codes, model.posterior(images).logits.sigmoid())
    assert torch.equal(model.reconstruct(images), model.decode((codes > 0.5).float()))


def test_samples_are_decoded_from_fair_bits() -> None:
    model = trained()
    means = model.decode(CODES)
    samples = model.sample(800, Noise("bits"))
    nearest = (samples[:, None] - means[None]).flatten(2).abs().amax(2).min(1)
    assert nearest.values.max() < 1e-6
    counts = torch.bincount(nearest.indices, minlength=8)
    assert (counts - 100).abs().max() < 45  # 4.8 standard deviations


def bound_after(num_steps: int, estimator: str, *, frozen: bool) -> float:
    """With the encoder as it began, where it is frozen."""
    model = make("discrete_vae", hidden=64, estimator=estimator)
    encoder = {name: p.clone() for name, p in model.encoder.state_dict().items()}
    steps = Steps(model)
    for step in range(num_steps):
        steps.all(digit_batch(64, step=step % 20), step)
        if frozen:
            model.encoder.load_state_dict(encoder)
    with torch.no_grad():
        return model.elbo_nats(digit_batch(512, step=1)["image"], Noise("bound")).mean().item()


def test_the_encoder_learns_by_every_estimator() -> None:
    """The bits tell of the image: the bound beats what a decoder alone comes to."""
    decoder_alone = bound_after(120, "leave_one_out", frozen=True)
    for estimator in ("score_function", "control_variate", "leave_one_out"):
        assert bound_after(120, estimator, frozen=False) > decoder_alone + 0.4, estimator


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"estimator": "reparameterization"}, "bits of a discrete_vae do not have; take score_function"),
        ({"estimator": "leave_one_out", "num_draws": 1}, "at least 2 draws, got num_draws=1; raise num_draws"),
        ({"estimator": "control_variate", "num_draws": 1}, "at least 2 draws, got num_draws=1"),
        ({"num_draws": 0}, "num_draws"),
        ({"estimator": "rloo"}, "estimator"),
        ({"kl_weight": -1}, "kl_weight"),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        DiscreteVAEConfig.parse(wrong)
