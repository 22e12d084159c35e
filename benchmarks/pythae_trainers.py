"""pythae's trainers of VAE, AAE and VAE-GAN on the networks of genray's models, with its own losses and optimizers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pythae import models, trainers
from pythae.data.datasets import BaseDataset
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from torch import Tensor, nn

from genray.data.spec import Split
from genray.models.base import GenerativeModel

# B images, C channels, H height, W width, Z latent dimensions


class Encoder(BaseEncoder):
    """Where the network gives codes alone, as the AAE's does, their posterior has no width and it is not looked at."""

    def __init__(self, network: nn.Module, latent: int) -> None:
        super().__init__()
        self.network, self.latent = network, latent

    def forward(self, x: Tensor) -> ModelOutput:
        output = self.network(x)
        mu, logvar = output[:, : self.latent], output[:, -self.latent :]
        return ModelOutput(embedding=mu, log_covariance=logvar)


class Decoder(BaseDecoder):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


class Discriminator(BaseDiscriminator):
    """Of images or codes. It can be asked for two things: features of the last hidden layer, and the answer."""

    depth = 2

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
        features = self.network.features(x)
        if output_layer_levels == [1]:
            return ModelOutput(embedding_layer_1=features)
        return ModelOutput(embedding=torch.sigmoid(self.network.head(features)))


def vae(twin: GenerativeModel, config: dict[str, Any]) -> models.BaseAE:
    return models.VAE(models.VAEConfig(**config, reconstruction_loss="bce"), **autoencoder(twin))


def aae(twin: GenerativeModel, config: dict[str, Any]) -> models.BaseAE:
    config |= {"reconstruction_loss": "bce", "deterministic_posterior": True}
    return models.Adversarial_AE(models.Adversarial_AE_Config(**config), **autoencoder(twin), **judge(twin))


def vae_gan(twin: GenerativeModel, config: dict[str, Any]) -> models.BaseAE:
    return models.VAEGAN(models.VAEGANConfig(**config, reconstruction_layer=1), **autoencoder(twin), **judge(twin))


def autoencoder(twin: GenerativeModel) -> dict[str, nn.Module]:
    return {"encoder": Encoder(twin.encoder, twin.latent), "decoder": Decoder(twin.decoder)}


def judge(twin: GenerativeModel) -> dict[str, nn.Module]:
    return {"discriminator": Discriminator(twin.discriminator)}


TRAINERS = {
    "vae": (vae, trainers.BaseTrainer, trainers.BaseTrainerConfig),
    "aae": (aae, trainers.AdversarialTrainer, trainers.AdversarialTrainerConfig),
    "vae_gan": (
        vae_gan,
        trainers.CoupledOptimizerAdversarialTrainer,
        trainers.CoupledOptimizerAdversarialTrainerConfig,
    ),
}


def epoch_of(
    name: str, twin: GenerativeModel, split: Split, batch_size: int, folder: str, *, no_cuda: bool = True
) -> Callable[[], object]:
    """What trains an epoch of pythae's model of that name on the networks of `twin`, a genray model."""
    make, trainer_of, config_of = TRAINERS[name]
    images = torch.from_numpy(split.images.astype(np.float32) / 255)
    trainer = trainer_of(
        make(twin, {"input_dim": twin.spec.shape, "latent_dim": twin.latent}),
        train_dataset=BaseDataset(images, torch.zeros(len(images))),
        training_config=config_of(output_dir=folder, per_device_train_batch_size=batch_size, no_cuda=no_cuda),
    )
    trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # its progress bar costs time, and ours is off too
    return lambda: trainer.train_step(1)
