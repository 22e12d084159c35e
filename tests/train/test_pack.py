"""Members of a pack are their runs alone.

Most of it is told in float64: there what is left between a member and its run alone is rounding, of 1e-16 an operation,
and not what Adam makes of it, which divides small gradients by their size. Rounded to float32, they agree as far as two
orders of the same sum do.
"""

import pytest
import torch

from genray import models
from genray.data.spec import Dataset
from genray.errors import Fault, UserError
from genray.train import pack
from genray.train.pack import Pack
from genray.train.trainer import Trainer
from tests.train.packs import (
    CASES,
    NUM_STEPS,
    Changes,
    alone,
    assert_same,
    losses,
    member,
    members,
    together,
    vaes,
    weights,
)
from tests.train.test_steps import Recorder

every_case = pytest.mark.parametrize("case", CASES)


def test_every_model_has_a_case() -> None:
    assert {str(model["name"]) for model, _ in CASES.values()} == set(models.names())


@pytest.mark.slow
@pytest.mark.usefixtures("exact")
@every_case
def test_a_member_is_its_run_alone(case: str, digits: Dataset) -> None:
    expected = [alone(trainer) for trainer in members(digits, case)]
    found = members(digits, case)
    together(found)
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b)
    assert all(a.isfinite().all() for trainer in found for a in weights(trainer))


@pytest.mark.parametrize("model", [{"name": "vae", "dropout": 0.2}, {"name": "gan", "r1_weight": 1.0}], ids=str)
def test_in_float32_too(model: Changes, digits: Dataset) -> None:
    """Rates are low, so that no weight is moved by the sign of a gradient that is rounding."""
    expected = [alone(member(digits, model, seed=seed, **{"optimizer.learning_rate": 1e-4})) for seed in range(3)]
    found = [member(digits, model, seed=seed, **{"optimizer.learning_rate": 1e-4}) for seed in range(3)]
    together(found)
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_losses_agree_as_far_as_it_goes(digits: Dataset) -> None:
    """Its numbers have 8 bits: two units in the last place are 2⁻⁶."""
    steps = range(5)
    expected = [alone(trainer, steps) for trainer in vaes(digits, precision="bfloat16")]
    found = vaes(digits, precision="bfloat16")
    together(found, steps)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(losses(a), losses(b), rtol=2**-6, atol=0.0)


@pytest.mark.usefixtures("exact")
def test_one_that_leaves_goes_on_alone_and_so_do_the_others(digits: Dataset) -> None:
    expected = [alone(trainer) for trainer in vaes(digits)]
    found = vaes(digits)
    packed = together(found, range(20))
    packed.leave(found[1])
    assert packed.trainers == [found[0], found[2]]
    for step in range(20, NUM_STEPS):
        packed.train_step([step, step])
    alone(found[1], range(20, NUM_STEPS))
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b)


@pytest.mark.usefixtures("exact")
def test_a_newcomer_begins_at_its_own_first_step_in_the_place_of_one_that_left(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was captured serves it, as it lies where the other one lay."""
    recorder = Recorder()
    monkeypatch.setattr(pack, "graphs_on", lambda place: recorder)
    expected = [alone(trainer) for trainer in vaes(digits, 4)]
    *found, newcomer = vaes(digits, 4)
    packed = together(found, range(20))
    places = [tensor.data_ptr() for tensor in packed._members[1].held().tensors()]
    packed.leave(found[1])
    held = [w.clone() for w in weights(found[1])]
    packed.take_in(newcomer)
    assert [tensor.data_ptr() for tensor in packed._members[1].held().tensors()] == places
    for step in range(20, NUM_STEPS):
        packed.train_step([step, step - 20, step])
    assert recorder.recorded == 1
    assert all(map(torch.equal, weights(found[1]), held))
    alone(found[1], range(20, NUM_STEPS))
    packed.leave(newcomer)
    alone(newcomer, range(NUM_STEPS - 20, NUM_STEPS))
    for a, b in zip([*found, newcomer], expected, strict=True):
        assert_same(a, b)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({"model.dropout": 0.4}, 2),
        ({"optimizer.betas": [0.5, 0.9], "optimizer.learning_rate": 1e-2, "optimizer.weight_decay": 0.1}, 1),
        ({"optimizer.clip_norm": None}, 1),
    ],
    ids=str,
)
def test_a_newcomer_is_captured_anew_where_it_has_numbers_of_its_own_that_a_captured_step_holds(
    changes: Changes, recorded: int, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(pack, "graphs_on", lambda place: recorder)
    expected = alone(vaes(digits, 4, **changes)[3], range(10))
    found, newcomer = vaes(digits), vaes(digits, 4, **changes)[3]
    packed = together(found, range(10))
    packed.leave(found[0])
    packed.take_in(newcomer)
    for step in range(10):
        packed.train_step([step, step + 10, step + 10])
    assert recorder.recorded == recorded
    assert_same(newcomer, expected)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("case", ["vae", "gan-spectral", "gan-penalty-conv", "progan"])
def test_what_a_captured_step_reads_from_fixed_places_is_what_members_are_given(
    case: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = members(digits, case)
    together(expected)
    recorder = Recorder()
    monkeypatch.setattr(pack, "graphs_on", lambda place: recorder)
    found = members(digits, case)
    together(found)
    assert recorder.replayed >= NUM_STEPS / 2
    assert recorder.recorded < NUM_STEPS / 4
    for a, b in zip(found, expected, strict=True):
        assert all(map(torch.equal, weights(a), weights(b)))


def test_a_member_whose_loss_is_not_finite_fails_as_it_does_alone_and_no_other_does(digits: Dataset) -> None:
    def trainers() -> list[Trainer]:
        rates = ({}, {"optimizer.learning_rate": 1e12}, {})
        return [member(digits, {"name": "vae"}, seed=seed, **rates[seed]) for seed in range(3)]

    expected = [alone(trainer) for trainer in trainers()]
    found = trainers()
    together(found)
    faults = []
    for trainer in (expected[1], found[1]):
        with pytest.raises(Fault, match=r"not finite at step \d+ in phase 'elbo'") as caught:
            trainer.end_epoch()
        faults.append(str(caught.value).partition(":")[0])
    assert faults[0] == faults[1]
    for a, b in ((found[0], expected[0]), (found[2], expected[2])):
        torch.testing.assert_close(losses(a), losses(b), rtol=1e-4, atol=1e-4)
        assert a.end_epoch()["train/elbo/loss"] == pytest.approx(b.end_epoch()["train/elbo/loss"], rel=1e-5)


def test_phases_take_their_turns_together(digits: Dataset) -> None:
    """Every third step is the generator's: a newcomer begins where the others are at one."""
    trainers = [member(digits, {"name": "gan", "critic_steps": 3}, seed=seed) for seed in range(3)]
    packed = together(trainers[:2], range(4))
    packed.leave(trainers[0])
    for step, trainer in ((4, trainers[1]), (6, trainers[1])):
        trainer.step = step
        if step % 3:
            with pytest.raises(UserError, match=r"turns are at the same steps, got every \[1, 3\] from step 4 and"):
                packed.take_in(trainers[2])
    packed.take_in(trainers[2])
    assert packed.trainers == [trainers[2], trainers[1]]


@pytest.mark.usefixtures("exact")
def test_newcomers_are_taken_in_where_no_place_is_vacant_or_all_are(digits: Dataset) -> None:
    expected = [alone(trainer, range(10)) for trainer in vaes(digits, 4)]
    found = vaes(digits, 4)
    packed = together(found[:2], range(5))
    packed.take_in(found[2])
    for step in range(5):
        packed.train_step([step + 5, step + 5, step])
    for trainer in found[:3]:
        packed.leave(trainer)
    packed.take_in(found[3])
    for step in range(10):
        packed.train_step([step])
    alone(found[2], range(5, 10))
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b)


def test_members_that_grow_are_at_one_step(digits: Dataset) -> None:
    """Those that begin together may be fewer or more before the first step."""
    first, second, third = (member(digits, {"name": "progan", "hidden": 8}, seed=seed) for seed in range(3))
    packed = Pack([first, second])
    packed.leave(first)
    packed.take_in(third)
    assert packed.trainers == [third, second]
    packed.train_step([0, 0])
    third.step = second.step = 1
    apart = r"^a pack has members that grow together, got genray\.models\.progan at steps 1, 0$"
    with pytest.raises(UserError, match=apart):
        packed.take_in(first)
    with pytest.raises(UserError, match=apart):
        Pack([second, first])


def test_pictures_that_are_drawn_where_a_level_ends_take_no_time_of_training(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that a member's pictures alone move."""
    now = 0.0

    def draw() -> None:
        nonlocal now
        now += 100.0

    monkeypatch.setattr(pack.time, "perf_counter", lambda: now)
    found = [member(digits, {"name": "progan", "hidden": 8, "growth_share": 0.03}, seed=seed) for seed in range(2)]
    for trainer in found:
        trainer.before_anew = draw
    packed = Pack(found)
    epochs = [trainer.steps_of_epoch() for trainer in found]
    for _ in range(6):
        packed.train_step([next(epoch) for epoch in epochs])
    assert now == 200.0
    assert [trainer._clock() for trainer in found] == [0.0, 0.0]


def test_members_hold_one_copy_of_the_images(digits: Dataset) -> None:
    found = vaes(digits)
    assert len({trainer.batches._images.data_ptr() for trainer in found}) == 3
    batches = [trainer.batches[3]["image"].clone() for trainer in found]
    Pack(found)
    assert len({trainer.batches._images.data_ptr() for trainer in found}) == 1
    assert all(torch.equal(trainer.batches[3]["image"], was) for trainer, was in zip(found, batches, strict=True))


@pytest.mark.gpu
@pytest.mark.usefixtures("exact")
@every_case
def test_a_member_is_its_run_alone_on_cuda(case: str, digits: Dataset) -> None:
    """Both are replayed, as far as they can be."""
    expected = [alone(trainer) for trainer in members(digits, case, "cuda")]
    found = members(digits, case, "cuda")
    together(found)
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.usefixtures("exact")
def test_a_newcomer_is_served_by_what_was_captured_on_cuda(digits: Dataset) -> None:
    expected = [alone(trainer) for trainer in vaes(digits, 4, device="cuda")]
    *found, newcomer = vaes(digits, 4, device="cuda")
    packed = together(found, range(20))
    packed.leave(found[1])
    packed.take_in(newcomer)
    for step in range(20, NUM_STEPS):
        packed.train_step([step, step - 20, step])
    alone(found[1], range(20, NUM_STEPS))
    packed.leave(newcomer)
    alone(newcomer, range(NUM_STEPS - 20, NUM_STEPS))
    for a, b in zip([*found, newcomer], expected, strict=True):
        assert_same(a, b, rtol=1e-6, atol=1e-6)
