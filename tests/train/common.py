from genray.config import Experiment
from genray.settings import ModelConfig


def experiment(**changes: object) -> Experiment:
    """A VAE that trains in a moment."""
    from genray.overrides import with_values

    base = {
        "dataset": "digits",
        "epochs": 4,
        "batch_size": 64,
        "evaluate_every": 2,
        "checkpoint_every": 2,
        "metrics": ["frechet"],
        "model": {"name": "vae", "hidden": 16, "latent": 4},
    }
    return Experiment.parse(with_values(base, changes))


def vae_config() -> ModelConfig:
    return experiment().model
