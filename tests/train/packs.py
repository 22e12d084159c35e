"""Trainers that tests pack, and what they compare of them."""

import torch
from torch import Tensor

from genray.config import Experiment
from genray.data.spec import Dataset
from genray.overrides import with_values
from genray.train.distributed import Distributed
from genray.train.pack import Pack
from genray.train.trainer import Trainer, make_trainer

NUM_STEPS = 50
Changes = dict[str, object]

# a model, and what the third member has of its own besides
CASES: dict[str, tuple[Changes, Changes]] = {
    "vae": (
        {"name": "vae", "dropout": 0.2, "kl_warmup_epochs": 2.0},
        {"dropout": 0.4, "kl_weight": 0.5, "kl_warmup_epochs": 1.0},
    ),
    "vae-importance-conv": ({"name": "vae", "importance_samples": 3, "binarized": True, "network": "conv"}, {}),
    "vae-two-layers": ({"name": "vae", "top_latent": 4, "kl_term": "sampled"}, {"kl_weight": 0.5}),
    "vae-scores": (
        {"name": "vae", "estimator": "control_variate", "kl_term": "exact_entropy", "likelihood": "gaussian"},
        {"kl_weight": 0.5},
    ),
    "cvae": ({"name": "cvae", "sigma": 0.1}, {"sigma": 0.2, "kl_weight": 1.0}),
    "cvae-box-conv": ({"name": "cvae", "condition": "box", "network": "conv"}, {"kl_weight": 1.0}),
    "joint_vae": ({"name": "joint_vae", "binarized": True}, {"alpha": 0.3}),
    "joint_vae-recoloured": ({"name": "joint_vae", "views": "recoloured"}, {"kl_weight": 0.3}),
    "discrete_vae": ({"name": "discrete_vae"}, {"kl_weight": 0.3}),
    "gan-r1": (
        {"name": "gan", "r1_weight": 1.0, "label_smoothing": 0.1, "packing": 2, "minibatch_discrimination": 4},
        {"r1_weight": 3.0, "label_smoothing": 0.2, "dropout": 0.5},
    ),
    "gan-r1-conv": ({"name": "gan", "r1_weight": 1.0, "network": "conv"}, {"r1_weight": 2.0}),
    "gan-spectral": ({"name": "gan", "spectral_norm": True, "loss": "hinge"}, {"dropout": 0.1}),
    "gan-spectral-conv": ({"name": "gan", "spectral_norm": True, "network": "conv"}, {"dropout": 0.1}),
    "gan-penalty-conv": (
        {"name": "gan", "loss": "wgan_gp", "critic_steps": 3, "network": "conv", "penalty_weight": 10.0},
        {"penalty_weight": 5.0},
    ),
    "vae_gan": (
        {"name": "vae_gan", "dropout": 0.3},
        {"gamma": 0.3, "kl_weight": 0.2, "label_smoothing": 0.2, "dropout": 0.5},
    ),
    "aae": (
        {"name": "aae", "posterior": "gaussian", "prior": "swiss_roll", "latent": 2, "dropout": 0.1},
        {"dropout": 0.4},
    ),
    "aae-gaussian": ({"name": "aae"}, {"prior_std": 3.0}),
    "progan": ({"name": "progan", "hidden": 8}, {"r1_weight": 0.3}),
    "progan-penalty": (
        {"name": "progan", "hidden": 8, "loss": "wgan_gp", "batch_norm": "generator", "pixel_norm": False}
        | {"minibatch_discrimination": 3, "repelling_weight": 0.1, "dropout": 0.1},
        {"drift_weight": 0.01, "dropout": 0.2},
    ),
}


def member(data: Dataset, model: Changes, *, device: str = "cpu", **changes: object) -> Trainer:
    asked = {"dataset": "digits", "epochs": 5, "batch_size": 32, "model": {"hidden": 12, "latent": 4} | model}
    asked = with_values(asked | {"optimizer": {"clip_norm": 5.0}, "metrics": []}, changes)
    return make_trainer(Experiment.parse(asked), data.training_data, Distributed.single(device))


def members(data: Dataset, case: str, device: str = "cpu") -> list[Trainer]:
    """Three of one shape that differ in all that members may differ in."""
    model, changes = CASES[case]
    return [
        member(data, model, device=device),
        member(data, model, device=device, seed=1, ema_decay=0.9, **{"optimizer.learning_rate": 1e-3}),
        member(data, model | changes, device=device, seed=2, **{"optimizer.betas": [0.3, 0.9]}),
    ]


def vaes(data: Dataset, count: int = 3, **changes: object) -> list[Trainer]:
    return [member(data, {"name": "vae", "dropout": 0.2}, seed=seed, **changes) for seed in range(count)]


def alone(trainer: Trainer, steps: range = range(NUM_STEPS)) -> Trainer:
    for step in steps:
        trainer.train_step(step)
    return trainer


def together(trainers: list[Trainer], steps: range = range(NUM_STEPS)) -> Pack:
    packed = Pack(trainers)
    for step in steps:
        packed.train_step([step] * len(trainers))
    return packed


def losses(trainer: Trainer) -> list[Tensor]:
    """Of all phases, at each step."""
    return [torch.stack([values for _, values in runner._losses]) for runner in trainer.phases]


def weights(trainer: Trainer) -> list[Tensor]:
    state = trainer.state()
    moments = [v for runner in trainer.phases for s in runner.optimizer.state.values() for _, v in sorted(s.items())]
    return [*state["model"].values(), *state["ema"].values(), *moments]


def assert_same(found: Trainer, expected: Trainer, *, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    for x, y in zip(losses(found), losses(expected), strict=True):
        torch.testing.assert_close(x, y, rtol=max(rtol, 1e-6), atol=1e-5)  # noted in float32
    for x, y in zip(weights(found), weights(expected), strict=True):
        torch.testing.assert_close(x, y, rtol=rtol, atol=atol)
