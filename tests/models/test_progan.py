"""What is particular to the networks that grow."""

import json
import re
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genray.config import Experiment
from genray.data.spec import Dataset, DataSpec
from genray.errors import UserError
from genray.models.base import Progress
from genray.models.progan import Model, ProGANConfig
from genray.nn.growth import Stage, double
from genray.nn.noise import Noise
from genray.runs import Run, load
from tests.models.steps import DIGITS, Steps, digit_batch, make, updated_parameters
from tests.train.test_loop import losses, run_to_end, weights

MNIST = DataSpec(1, 28, 28, 10)


def progan(spec: DataSpec = DIGITS, **config: object) -> Model:
    model = make("progan", spec, **{"hidden": 16, "latent": 6} | config)
    assert isinstance(model, Model)
    return model


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("config", [{}, {"pixel_norm": False, "batch_norm": "both"}], ids=["pixel", "batch"])
def test_a_level_that_begins_gives_the_image_of_the_level_below(level: int, config: dict[str, object]) -> None:
    """At α = 0 the grown generator is the old one, enlarged, and the critic says of such images what it said before."""
    model, z = progan(MNIST, **config), Noise(0).normal(4, 6)
    old, grown = Stage(level - 1, None), Stage(level, torch.tensor(0.0))
    images = model.generator(z, old)
    assert images.shape[2:] == (2 << level, 2 << level)
    torch.testing.assert_close(model.generator(z, grown), double(images))
    torch.testing.assert_close(model.critic(double(images), grown), model.critic(images, old))


def test_a_level_that_is_faded_in_is_as_it_stays() -> None:
    model, z = progan(MNIST), Noise(0).normal(4, 6)
    there, faded = Stage(2, None), Stage(2, torch.tensor(1.0))
    torch.testing.assert_close(model.generator(z, faded), model.generator(z, there))
    images = model.generator(z, there)
    torch.testing.assert_close(model.critic(images, faded), model.critic(images, there))


def test_growth_over_a_run() -> None:
    """Four levels in the first half of 120 steps: ten steps each as they are and fading in, by turns."""
    model = progan(MNIST, growth_share=0.5)
    seen, anew = [], []
    for step in range(120):
        progress = Progress(step, num_steps=120, steps_per_epoch=7)
        if model.begins_anew(progress):
            anew.append(step)
        model.set_progress(progress)
        seen.append((int(model.level), round(float(model.alpha), 2)))
    assert anew == [10, 30, 50]
    assert seen[:10] == [(0, 1.0)] * 10
    assert seen[10:20] == [(1, k / 10) for k in range(10)]
    assert seen[20:30] == [(1, 1.0)] * 10
    assert seen[50:60] == [(3, k / 10) for k in range(10)]
    assert seen[60:] == [(3, 1.0)] * 60


@pytest.mark.parametrize(
    ("config", "kinds"),
    [({}, 2), ({"r1_every": 1}, 1), ({"r1_weight": 0.0}, 1), ({"loss": "wgan_gp"}, 1)],
    ids=str,
)
def test_steps_are_of_two_kinds_where_there_is_a_lazy_penalty_alone(config: dict[str, object], kinds: int) -> None:
    """Of those with all levels there."""
    model, found = progan(growth=False, **config), set()
    for step in range(40):
        model.set_progress(Progress(step, num_steps=40, steps_per_epoch=10))
        found.add(model.branch())
    assert len(found) == kinds


def test_without_growth_all_levels_train_from_the_first_step() -> None:
    model = progan(MNIST, growth=False)
    for step in (0, 50, 99):
        progress = Progress(step, num_steps=100, steps_per_epoch=10)
        model.set_progress(progress)
        assert (int(model.level), float(model.alpha), model.begins_anew(progress)) == (3, 1.0, False)


def test_only_the_levels_that_are_there_move() -> None:
    model, batch = progan(MNIST), {"image": torch.rand(6, 1, 28, 28) * 2 - 1}
    model.set_progress(Progress(0, num_steps=1000, steps_per_epoch=10))
    steps = Steps(model)
    before = {name: p.clone() for name, p in model.named_parameters()}
    for phase in model.phases():
        steps.phase(phase, batch, Noise(0))
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert not any(re.search(r"\.(levels|to_image|from_image)\.[123]\.", name) for name in moved)


OPTIONS: list[dict[str, object]] = [
    {"loss": "wgan_gp"},
    {"equalized_lr": False},
    {"pixel_norm": False},
    {"pixel_norm": False, "batch_norm": "generator", "loss": "wgan_gp"},
    {"pixel_norm": False, "batch_norm": "both"},
    {"minibatch_stddev": False},
    {"minibatch_stddev": False, "minibatch_discrimination": 3},
    {"repelling_weight": 0.1},
    {"growth": False},
    {"dropout": 0.3, "critic_steps": 2},
]
of_options = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(f"{k}={v}" for k, v in o.items()))


@of_options
def test_every_part_can_be_switched_alone(options: dict[str, object]) -> None:
    model = progan(**options)
    for step in (0, 30, 99):
        model.set_progress(Progress(step, num_steps=100, steps_per_epoch=10))
        for phase in model.phases():
            loss = phase.loss(digit_batch(6), Noise(step))
            mine = list(updated_parameters(model, phase).values())
            gradients = torch.autograd.grad(loss.total, mine, allow_unused=True)
            assert loss.total.isfinite()
            assert any(g is not None and g.any() for g in gradients)
        assert model.sample(3, Noise(0)).abs().max() <= 1


@of_options
def test_it_says_whether_it_looks_across_the_batch(options: dict[str, object]) -> None:
    """Two halves give the mean loss of the whole exactly where no image is compared with another."""
    model, batch = progan(**options), digit_batch(8)
    same = []
    for phase in model.phases():
        halves = [
            phase.loss({"image": part}, Noise(0, rank=rank, world_size=2)).total
            for rank, part in enumerate(batch["image"].split(4))
        ]
        whole = phase.loss(batch, Noise(0)).total
        same.append(bool(torch.isclose(sum(halves) / 2, whole, rtol=1e-5, atol=1e-6)))
    assert all(same) is not model.looks_across_batch


def test_a_batch_normalized_sample_does_not_depend_on_the_others() -> None:
    """Statistics are those of the reference batch, which a checkpoint holds."""
    model = progan(pixel_norm=False, batch_norm="generator")
    codes, count = torch.cat([model.reference, torch.randn(5, 6)]), len(model.reference)
    all_of_them, two = (model.generator(codes[: count + n], Stage(1, None), count)[count:] for n in (5, 2))
    torch.testing.assert_close(all_of_them[:2], two, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.generator(codes, Stage(1, None))[count:], all_of_them, atol=1e-3)
    other = progan(pixel_norm=False, batch_norm="generator")
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.sample(5, Noise(0)), model.sample(5, Noise(0)))


def test_the_r1_penalty_has_its_turn_and_its_weight() -> None:
    """Over a whole round, the mean of the lazy penalty is the one of every step."""
    every, lazy = progan(r1_every=1, growth=False), progan(r1_every=3, growth=False)
    seen = []
    for step in range(3):
        for model in (every, lazy):
            model.set_progress(Progress(step, num_steps=100, steps_per_epoch=10))
        [a, b] = (model.phases()[0].loss(digit_batch(6), Noise(0)) for model in (every, lazy))
        seen.append(b.terms["r1"].item())
        torch.testing.assert_close(a.total - 0.5 * a.terms["r1"], b.total - 0.5 * b.terms["r1"])
    assert seen == pytest.approx([3 * a.terms["r1"].item(), 0, 0], rel=1e-5)


def small(epochs: int = 4) -> Experiment:
    tree = {
        "epochs": epochs,
        "batch_size": 292,  # four steps an epoch
        "evaluate_every": 1,
        "checkpoint_every": 1,
        "metrics": [],
        "model": {"name": "progan", "hidden": 8, "latent": 4, "growth_share": 1.0},
    }
    return Experiment.parse(tree)


def test_a_run_resumes_bitwise_at_every_level(digits: Dataset, tmp_path: Path) -> None:
    """Of 16 steps, 8 are at 4 x 4 and 8 fade in 8 x 8. Stopped and resumed at the level below, where growth begins, and
    half faded in."""
    whole, _ = run_to_end(small(), digits, tmp_path / "whole")
    for epoch, stage in ((1, (0, 1.0)), (2, (0, 1.0)), (3, (1, 0.375))):
        halted, _ = run_to_end(small(), digits, tmp_path / "halted", stop_after=epoch)
        model = load(halted.path)
        assert isinstance(model, Model)
        assert (int(model.level), float(model.alpha)) == stage
        image = model.sample(2, Noise(0))  # is of the level that was reached
        assert torch.equal(image[:, :, ::2, ::2], image[:, :, 1::2, 1::2]) is (stage[0] == 0)
    resumed, _ = run_to_end(small(), digits, tmp_path / "halted")
    assert losses(resumed) == losses(whole)
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        assert torch.equal(a, b)


def shown_epochs(run: Run) -> list[int]:
    events = EventAccumulator(str(run.path), size_guidance={"images": 0})
    events.Reload()
    return [event.step for event in events.Images("samples")]


def test_samples_of_every_level_go_to_tensorboard(digits: Dataset, tmp_path: Path) -> None:
    """Also of one that ends where no evaluation is due: growth begins at step 2 of 4 of the second epoch."""
    asked = Experiment.parse(small(epochs=3).plain() | {"evaluate_every": 3})
    run, _ = run_to_end(asked, digits, tmp_path / "run")
    assert shown_epochs(run) == [0, 1, 3]
    assert "train/critic/r1" in json.loads(run.metrics_path.read_text().splitlines()[-1])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"batch_norm": "both"}, "one normalization a network, got pixel_norm=True, batch_norm='both'; set"),
        ({"batch_norm": "both", "pixel_norm": False, "loss": "wgan_gp"}, "batch_norm in the critic mixes images"),
        ({"network": "mlp"}, "'conv', got 'mlp'"),
        ({"growth_share": 0}, "growth_share: input should be greater than 0, got 0"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(config: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        ProGANConfig.parse(config)


def test_images_too_small_to_grow_are_refused() -> None:
    assert progan(DataSpec(1, 4, 4, 0)).sample(2, Noise(0)).shape == (2, 1, 4, 4)
    with pytest.raises(UserError, match="growth begins at 4 x 4 pixels, got images of 3 x 9; take larger images"):
        progan(DataSpec(1, 3, 9, 0))
