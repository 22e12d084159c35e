"""What every model promises, over every file in genray/models: a new one is tested by being there."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from genray import models
from genray.data.spec import DataSpec
from genray.models.base import GenerativeModel, HasEncoder, HasLikelihood, Phase, Progress, Reconstructs
from genray.nn.noise import Noise
from tests.models.steps import (
    DIGITS,
    Steps,
    digit_batch,
    make,
    networks,
    only_requires_grad,
    random_batch,
    updated_parameters,
)

SPECS = [DIGITS, DataSpec(3, 32, 32, 10), DataSpec(1, 28, 28, 10), DataSpec(2, 9, 17, 3)]

every_model = pytest.mark.parametrize("name", models.names())
every_network = pytest.mark.parametrize(
    ("name", "network"), [(n, kind) for n in models.names() for kind in networks(n)]
)
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "x".join(map(str, spec.shape)))


def phases_of(name: str) -> list[str]:
    return [phase.name for phase in make(name, hidden=4).phases()]


PHASES = [(name, phase) for name in models.names() for phase in phases_of(name)]
every_phase = pytest.mark.parametrize(("name", "phase"), PHASES)
every_phase_and_network = pytest.mark.parametrize(
    ("name", "phase", "network"), [(*pair, kind) for pair in PHASES for kind in networks(pair[0])]
)


def phase_of(model: GenerativeModel, name: str) -> Phase:
    return next(phase for phase in model.phases() if phase.name == name)


@every_spec
@every_network
def test_samples_are_finite_images(name: str, network: str, spec: DataSpec) -> None:
    samples = make(name, spec, network=network, hidden=19).sample(5, Noise("samples"))
    assert samples.shape == (5, *spec.shape)
    assert samples.isfinite().all()
    assert samples.abs().max() <= 1


@every_spec
@every_network
def test_capabilities_give_what_their_protocols_say(name: str, network: str, spec: DataSpec) -> None:
    model, images = make(name, spec, network=network, hidden=19), random_batch(spec, 4)["image"]
    if isinstance(model, HasEncoder):
        codes = model.encode(images)
        assert codes.shape == (4, model.config.latent)
        assert codes.isfinite().all()
    if isinstance(model, Reconstructs):
        reconstructions = model.reconstruct(images)
        assert reconstructions.shape == images.shape
        assert reconstructions.abs().max() <= 1
    if isinstance(model, HasLikelihood):
        elbo = model.elbo_nats(images, Noise("elbo"))
        assert elbo.shape == (4,)
        assert elbo.isfinite().all()


@every_spec
@every_network
def test_a_phase_moves_all_of_its_networks_and_no_other(name: str, network: str, spec: DataSpec) -> None:
    """All of them at some time of the training: a level that has not grown yet takes no part, one that has been
    replaced no more."""
    model, batch = make(name, spec, network=network, hidden=19), random_batch(spec, 8)
    for phase in model.phases():
        only_requires_grad(model, phase)
        mine, moved = updated_parameters(model, phase), set[str]()
        for step in range(0, 100, 6):
            model.set_progress(Progress(step, num_steps=100, steps_per_epoch=10))
            phase.loss(batch, Noise("isolation")).total.backward()
            moved |= {parameter for parameter, p in model.named_parameters() if p.grad is not None and p.grad.any()}
            if moved >= mine.keys():
                break
        assert moved == mine.keys(), phase.name


@every_model
def test_phases_name_child_modules_and_reach_every_parameter(name: str) -> None:
    model = make(name)
    children = dict(model.named_children())
    reached = {module for phase in model.phases() for module in phase.updates}
    assert reached <= children.keys()
    assert {parameter.split(".")[0] for parameter, _ in model.named_parameters()} <= reached
    assert len({phase.name for phase in model.phases()}) == len(model.phases())


@every_network
def test_losses_and_samples_depend_on_the_noise_alone(name: str, network: str) -> None:
    model, batch = make(name, network=network, hidden=19, dropout=0.5), digit_batch(8)
    torch.manual_seed(0)
    before, weights = torch.get_rng_state(), [p.clone() for p in model.state_dict().values()]
    for phase in model.phases():
        first, again = (phase.loss(batch, Noise("a")) for _ in range(2))
        assert first.total == again.total
        assert first.terms == again.terms
        assert not any(term.requires_grad for term in first.terms.values())
        assert all(term.shape == () for term in (first.total, *first.terms.values()))
    assert torch.equal(model.sample(3, Noise("a")), model.sample(3, Noise("a")))
    assert not torch.equal(model.sample(3, Noise("a")), model.sample(3, Noise("b")))
    assert torch.equal(torch.get_rng_state(), before), "a model drew from torch's global generator"
    assert all(map(torch.equal, weights, model.state_dict().values())), "a loss changed the model"


class NoValues(TorchFunctionMode):
    """Raises where Python asks for the value of a tensor, or where a shape would depend on one."""

    FORBIDDEN = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "nonzero", "masked_select")

    def __torch_function__(self, func, types, args=(), kwargs=None):
        assert func.__name__ not in self.FORBIDDEN, f"{func.__name__} depends on a value"
        return func(*args, **(kwargs or {}))


@every_phase
def test_a_loss_never_looks_at_a_value(name: str, phase: str) -> None:
    """So that a step can be compiled, captured as a CUDA graph, or run for many replicas at once."""
    model, batch = make(name, hidden=8, dropout=0.5), random_batch(DIGITS, 4)
    with NoValues():
        phase_of(model, phase).loss(batch, Noise("values"))
    with pytest.raises(AssertionError, match="depends on a value"), NoValues():
        assert batch["image"].sum()


@every_phase_and_network
def test_two_workers_give_the_loss_of_one(name: str, phase: str, network: str) -> None:
    """But for a model that compares the images of a batch: it says so, and its loss is another."""
    model, batch = make(name, network=network, hidden=19, dropout=0.3), digit_batch(8)
    loss = phase_of(model, phase).loss
    whole = loss(batch, Noise("ranks")).total
    halves = []
    for rank in range(2):
        half = {key: value[4 * rank : 4 * rank + 4] for key, value in batch.items()}
        halves.append(loss(half, Noise("ranks", rank=rank, world_size=2)))
    same = torch.allclose(sum(half.total for half in halves) / 2, whole, rtol=1e-5, atol=1e-6)
    assert same != model.looks_across_batch


@every_network
def test_dropout_acts_in_training_only(name: str, network: str) -> None:
    without, dropping = (make(name, network=network, hidden=19, dropout=p) for p in (0.0, 0.5))
    batch = digit_batch(8)
    assert torch.equal(without.sample(4, Noise(0)), dropping.sample(4, Noise(0)))
    for method in ("encode", "reconstruct"):
        if hasattr(without, method):
            assert torch.equal(getattr(without, method)(batch["image"]), getattr(dropping, method)(batch["image"]))
    if isinstance(without, HasLikelihood) and isinstance(dropping, HasLikelihood):
        images = batch["image"]
        assert torch.equal(without.elbo_nats(images, Noise(0)), dropping.elbo_nats(images, Noise(0)))
    losses = [[phase.loss(batch, Noise(0)).total for phase in model.phases()] for model in (without, dropping)]
    assert losses[0] != losses[1]


@every_phase_and_network
def test_updates_of_a_phase_alone_lower_its_loss(name: str, phase: str, network: str) -> None:
    model, batch = make(name, network=network, hidden=19, dropout=0.0), digit_batch(32)
    steps, this = Steps(model), phase_of(model, phase)
    losses = [steps.phase(this, batch, Noise("fixed")) for _ in range(15)]
    assert losses[-1] < losses[0]


@every_model
def test_weights_depend_on_the_seed_and_are_loaded_back(name: str) -> None:
    model, same, other = make(name), make(name), make(name, seed=1)
    samples = model.sample(3, Noise(0))
    assert torch.equal(same.sample(3, Noise(0)), samples)
    assert not torch.equal(other.sample(3, Noise(0)), samples)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.sample(3, Noise(0)), samples)
