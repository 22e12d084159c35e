"""The training steps of a VAE, a GAN and an AAE as they are written by hand, on the layers of a genray model, and where
their batches come from: a float tensor in memory, or PyTorch-GAN's transforms of single pictures in a DataLoader.

Losses are those of genray's models with their defaults; the GAN's two steps share their fakes, as in PyTorch's DCGAN
tutorial. What genray does besides is not there: averaged weights, noise of its own for each step, notes of each loss.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST

from genray.data.downloads import data_root
from genray.models.base import GenerativeModel, Phase
from genray.nn.blocks import SLOPE, Network

# B images of the batch, N of the dataset, C channels, H height, W width

Step = Callable[[Tensor], None]  # of images (B, C, H, W) in [-1, 1]
Adam = Callable[..., torch.optim.Optimizer]  # of a phase, for the networks that it moves


def vae(model: GenerativeModel, adam: Adam) -> Step:
    encoder, decoder = plain(model.encoder), plain(model.decoder)
    optimizer = adam(model.phases()[0], encoder, decoder)

    def step(x: Tensor) -> None:
        mu, logvar = encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        nll = F.binary_cross_entropy_with_logits(decoder(z), (x + 1) / 2, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        optimizer.zero_grad()
        ((nll + kl) / len(x)).backward()
        optimizer.step()

    return step


def gan(model: GenerativeModel, adam: Adam) -> Step:
    generator, discriminator = nn.Sequential(plain(model.generator), nn.Tanh()), plain(model.discriminator)
    of_discriminator, of_generator = model.phases()
    optimizer_d, optimizer_g = adam(of_discriminator, discriminator), adam(of_generator, generator)
    criterion = nn.BCEWithLogitsLoss()

    def step(real: Tensor) -> None:
        is_real, is_fake = torch.full((len(real), 1), 0.9), torch.zeros(len(real), 1)  # smoothed on one side
        fake = generator(torch.randn(len(real), model.latent))
        optimizer_d.zero_grad()
        (criterion(discriminator(real), is_real) + criterion(discriminator(fake.detach()), is_fake)).backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        criterion(discriminator(fake), torch.ones(len(real), 1)).backward()
        optimizer_g.step()

    return step


def aae(model: GenerativeModel, adam: Adam) -> Step:
    encoder, decoder, discriminator = plain(model.encoder), plain(model.decoder), plain(model.discriminator)
    reconstruction, judging, regularization = model.phases()
    optimizer, optimizer_d = adam(reconstruction, encoder, decoder), adam(judging, discriminator)
    optimizer_g = adam(regularization, encoder)
    criterion = nn.BCEWithLogitsLoss()

    def step(x: Tensor) -> None:
        is_prior, is_code = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        optimizer.zero_grad()
        nll = F.binary_cross_entropy_with_logits(decoder(encoder(x)), (x + 1) / 2, reduction="sum")
        (nll / len(x)).backward()
        optimizer.step()
        with torch.no_grad():
            codes = encoder(x)
        optimizer_d.zero_grad()
        prior = torch.randn_like(codes)
        (criterion(discriminator(prior), is_prior) + criterion(discriminator(codes), is_code)).backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        criterion(discriminator(encoder(x)), is_prior).backward()
        optimizer_g.step()

    return step


STEPS: dict[str, Callable[[GenerativeModel, Adam], Step]] = {"vae": vae, "gan": gan, "aae": aae}


def plain(network: nn.Module) -> nn.Sequential:
    """A network's layers with torch's own activations and dropout between them."""
    assert isinstance(network, Network)
    dropout = [nn.Dropout(network.dropout)] if network.dropout else []
    hidden = [nn.Sequential(layer, nn.LeakyReLU(SLOPE), *dropout) for layer in network.hidden]
    return nn.Sequential(*hidden, network.head)


def adam(phase: Phase, *networks: nn.Module, fused: bool | None = None) -> torch.optim.Optimizer:
    """As a phase has it, stepping as torch does by default or in one fused kernel."""
    config = phase.optimizer
    return torch.optim.Adam(parameters_of(*networks), lr=config.learning_rate, betas=config.betas, fused=fused)


class Standing(torch.optim.Optimizer):
    """Moves nothing: for what a step's losses and gradients take by themselves."""

    def __init__(self, phase: Phase, *networks: nn.Module) -> None:
        super().__init__(parameters_of(*networks), {})

    def step(self, closure: None = None) -> None:
        pass


def parameters_of(*networks: nn.Module) -> list[nn.Parameter]:
    return [p for network in networks for p in network.parameters()]


def in_memory(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """An epoch of batches by index from floats (N, C, H, W)."""
    for index in torch.randperm(len(images)).split(batch_size):
        yield images[index]


def loader(num_images: int, batch_size: int) -> Iterable[list[Tensor]]:
    """PyTorch-GAN's loader of MNIST, over its first images."""
    steps = [transforms.Resize(28), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
    data = MNIST(str(data_root()), train=True, transform=transforms.Compose(steps))
    data.data, data.targets = data.data[:num_images], data.targets[:num_images]
    return DataLoader(data, batch_size=batch_size, shuffle=True)
