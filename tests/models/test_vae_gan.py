import math

import pytest
import torch
from torch import Tensor

from genray.models.vae_gan import Model
from genray.nn.noise import Noise
from tests.models.steps import Steps, digit_batch, make, only_requires_grad, updated_parameters

BATCH = digit_batch(16)


def vae_gan(**config: object) -> Model:
    model = make("vae_gan", **{"hidden": 32, "dropout": 0.0, "label_smoothing": 0.0} | config)
    assert isinstance(model, Model)
    return model


def fakes(model: Model, noise: Noise) -> tuple[Tensor, Tensor]:
    """x̂ and x_p, with the two draws that a loss makes first."""
    mu, logvar = model.encoder(BATCH["image"]).chunk(2, dim=1)
    z = mu + (0.5 * logvar).exp() * noise.normal(*mu.shape)
    return torch.tanh(model.decoder(z)), torch.tanh(model.decoder(noise.normal(*mu.shape)))


def gradients(model: Model, phase_name: str) -> dict[str, Tensor]:
    phase = next(phase for phase in model.phases() if phase.name == phase_name)
    only_requires_grad(model, phase)
    phase.loss(BATCH, Noise(0)).total.backward()
    return {name: p.grad.clone() for name, p in updated_parameters(model, phase).items() if p.grad is not None}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.allclose(a[name], b[name], rtol=1e-4, atol=1e-7) for name in a)


def test_losses_are_those_of_the_paper_written_out() -> None:
    model = vae_gan(gamma=0.3, kl_weight=0.7)
    x = BATCH["image"]
    x_hat, x_p = fakes(model, Noise(5))
    on_x, on_hat, on_p = (model.discriminator(images).sigmoid() for images in (x, x_hat, x_p))
    mu, logvar = model.encoder(x).chunk(2, dim=1)
    prior = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    features, features_hat = model.discriminator.features(x), model.discriminator.features(x_hat)
    llike = ((features - features_hat) ** 2).sum(1).mean() / 2
    gan = (on_x.log() + (1 - on_hat).log() + (1 - on_p).log()).mean()
    adversarial = -(on_hat.log() + on_p.log()).mean()
    encoder, decoder, discriminator = (phase.loss(BATCH, Noise(5)).total for phase in model.phases())
    torch.testing.assert_close(encoder, 0.7 * prior + llike)
    torch.testing.assert_close(decoder, 0.3 * llike + adversarial)
    torch.testing.assert_close(discriminator, -gan)


def test_an_undecided_discriminator_pays_ln_2_for_each_of_three_parts() -> None:
    model = vae_gan()
    for p in model.discriminator.head.parameters():
        p.data.zero_()
    decoder, discriminator = (phase.loss(BATCH, Noise(0)) for phase in model.phases()[1:])
    assert discriminator.total.item() == pytest.approx(3 * math.log(2))
    assert decoder.terms["generated_nats"].item() == pytest.approx(math.log(2))


def test_a_decoder_step_on_the_adversarial_terms_alone_raises_d_of_both_its_images() -> None:
    """With the sign that the paper prints, the decoder would learn to be found out."""
    model = vae_gan(gamma=0.0)
    steps = Steps(model)
    _, decoder, discriminator = model.phases()
    for _ in range(20):
        steps.phase(discriminator, BATCH, Noise(0))
    said = [[model.discriminator(images).mean().item() for images in fakes(model, Noise(0))]]
    for _ in range(5):
        steps.phase(decoder, BATCH, Noise(0))
        said.append([model.discriminator(images).mean().item() for images in fakes(model, Noise(0))])
    for logits in zip(*said, strict=True):
        assert list(logits) == sorted(logits)


def test_the_discriminator_is_not_trained_by_the_reconstruction() -> None:
    small, large = vae_gan(gamma=1e-4), vae_gan(gamma=10.0)
    assert same(gradients(small, "discriminator"), gradients(large, "discriminator"))
    assert same(gradients(small, "encoder"), gradients(large, "encoder"))
    assert not same(gradients(small, "decoder"), gradients(large, "decoder"))


def test_the_encoder_is_not_trained_by_the_adversarial_terms() -> None:
    """Its gradient stays where it is when the discriminator's head, which only D(x) reads, is another one."""
    model = vae_gan()
    before = gradients(model, "encoder")
    for p in model.discriminator.head.parameters():
        p.data.normal_(generator=torch.Generator().manual_seed(0))
    assert same(before, gradients(model, "encoder"))


def test_the_discriminators_gradient_is_that_of_three_images_apart() -> None:
    model = vae_gan()
    together = gradients(model, "discriminator")
    with torch.no_grad():
        x_hat, x_p = fakes(model, Noise(0))
    model.zero_grad()
    parts = ((-1, BATCH["image"]), (1, x_hat), (1, x_p))
    total = sum(torch.nn.functional.softplus(sign * model.discriminator(images)).mean() for sign, images in parts)
    assert isinstance(total, Tensor)
    total.backward()
    apart = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert apart.keys() == together.keys()
    assert same(together, apart)


def test_features_of_the_reconstruction_are_without_dropout() -> None:
    without, dropping = vae_gan(dropout=0.0), vae_gan(dropout=0.5)
    for phase_a, phase_b in list(zip(without.phases(), dropping.phases(), strict=True))[:2]:
        terms = [phase.loss(BATCH, Noise(0)).terms["llike_nats"] for phase in (phase_a, phase_b)]
        assert terms[0] == terms[1]
