import math

import pytest
import torch
from torch import nn

from genray.errors import UserError
from genray.models.aae import AAEConfig, Model
from genray.nn.noise import Noise
from tests.models.steps import Steps, digit_batch, make

BATCH = digit_batch(32)
VARIANTS = [
    {"posterior": posterior, **prior}
    for posterior in ("deterministic", "gaussian")
    for prior in (
        {"prior": "gaussian"},
        {"prior": "gaussian", "prior_std": 5.0},
        {"prior": "mixture", "latent": 2},
        {"prior": "swiss_roll", "latent": 2},
    )
]


def aae(**config: object) -> Model:
    model = make("aae", **{"hidden": 32} | config)
    assert isinstance(model, Model)
    return model


@pytest.mark.parametrize("config", VARIANTS, ids=lambda c: "-".join(map(str, c.values())))
def test_every_posterior_with_every_prior(config: dict[str, object]) -> None:
    """Losses against cross-entropies written out, on codes drawn from the encoder's output and draws of the prior."""
    model = aae(**config)
    noise, latent = Noise(4), model.config.latent
    output = model.encoder(BATCH["image"])
    codes = output
    if config["posterior"] == "gaussian":
        mu, logvar = output.chunk(2, dim=1)
        codes = mu + (0.5 * logvar).exp() * noise.normal(32, latent)
    prior = model._draw_prior(32, noise) * config.get("prior_std", 1.0)
    entropy, ones, zeros = nn.BCELoss(), torch.ones(32, 1), torch.zeros(32, 1)
    on_prior, on_codes = (model.discriminator(z).sigmoid() for z in (prior, codes))
    reconstruction, discriminator, regularization = (phase.loss(BATCH, Noise(4)).total for phase in model.phases())
    pixels = BATCH["image"] / 2 + 0.5
    per_pixel = nn.functional.binary_cross_entropy(model.decoder(codes).sigmoid(), pixels)
    torch.testing.assert_close(reconstruction, per_pixel * pixels[0].numel())
    torch.testing.assert_close(discriminator, entropy(on_prior, ones) + entropy(on_codes, zeros))
    torch.testing.assert_close(regularization, entropy(on_codes, ones))
    assert model.encode(BATCH["image"]).shape == (32, latent)


def test_codes_are_given_and_taken_in_units_of_the_priors_spread() -> None:
    """What draws codes of N(0, I) need not know of it: interpolations, annealed importance sampling, exports."""
    model, normal = aae(prior_std=5.0), Noise(3).normal(7, 8)
    torch.testing.assert_close(model.sample(7, Noise(3)), model.decoder(5 * normal).sigmoid() * 2 - 1)
    torch.testing.assert_close(model.encode(BATCH["image"]), model.encoder(BATCH["image"]) / 5)
    through = model.decoder(model.encoder(BATCH["image"])).sigmoid() * 2 - 1
    torch.testing.assert_close(model.reconstruct(BATCH["image"]), through)


def test_losses_of_an_undecided_discriminator() -> None:
    model = aae()
    for p in model.discriminator.head.parameters():
        p.data.zero_()
    _, discriminator, regularization = (phase.loss(BATCH, Noise(0)).total.item() for phase in model.phases())
    assert discriminator == pytest.approx(math.log(4))
    assert regularization == pytest.approx(math.log(2))


def test_regularization_moves_codes_towards_what_is_called_prior() -> None:
    model = aae()
    steps = Steps(model)
    _, discriminator, regularization = model.phases()
    for k in range(30):
        steps.phase(discriminator, BATCH, Noise(k))
    said = [model.discriminator(model.encode(BATCH["image"])).mean().item()]
    assert said[0] < model.discriminator(model._draw_prior(500, Noise(0))).mean().item()
    for _ in range(5):
        steps.phase(regularization, BATCH, Noise(0))
        said.append(model.discriminator(model.encode(BATCH["image"])).mean().item())
    assert said == sorted(said)


def test_training_matches_the_codes_to_the_prior() -> None:
    """The second moment of the codes, far from the prior's 1 when only reconstruction trains, comes close to it."""
    spread = {}
    for last_phase in (1, 3):
        model = aae(latent=2)
        steps = Steps(model)
        for k in range(150):
            for phase in model.phases()[:last_phase]:
                steps.phase(phase, digit_batch(64, step=k % 20), Noise(k, phase.name))
        with torch.no_grad():
            spread[last_phase] = model.encode(digit_batch(1000)["image"]).square().mean().log().abs().item()
    assert spread[3] < 0.35
    assert spread[1] > 2 * spread[3]


@pytest.mark.parametrize("phase", range(3))
def test_a_step_moves_a_wide_network_about_as_one_of_256_units(phase: int) -> None:
    """By what its phase's loss comes from: images, what is said of codes, and codes."""

    def seen(model: Model) -> torch.Tensor:
        with torch.no_grad():
            codes = model.encode(BATCH["image"])
            return [model.decoder, model.discriminator, lambda z: z][phase](codes)

    moved = []
    for hidden in (256, 2048):
        model = aae(hidden=hidden)
        before = seen(model)
        Steps(model).phase(model.phases()[phase], BATCH, Noise(0))
        moved.append((seen(model) - before).square().mean().sqrt().item())
    assert moved[1] < 3 * moved[0]  # at the same rates, 14 to 25


@pytest.mark.parametrize("prior", ["mixture", "swiss_roll"])
def test_a_prior_of_the_plane_is_refused_elsewhere(prior: str) -> None:
    with pytest.raises(UserError, match=f"prior '{prior}' needs two dimensions, got latent=8; set it to 2"):
        AAEConfig.parse({"prior": prior, "latent": 8})
    with pytest.raises(UserError, match="prior_std is that of the gaussian prior, got prior_std=5 with"):
        AAEConfig.parse({"prior": prior, "latent": 2, "prior_std": 5})
