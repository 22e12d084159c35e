from collections.abc import Hashable

import pytest

from genray import models
from genray.config import Experiment
from genray.data.spec import DataSpec
from genray.models.base import Progress, build
from genray.train.alike import signature, why_apart
from tests.train.common import experiment


def test_what_is_each_members_own_is_no_part_of_the_signature() -> None:
    first = experiment()
    own = {
        "seed": 3,
        "ema_decay": 0.0,
        "metrics": ["prdc"],
        "evaluate_every": 1,
        "num_samples": 10,
        "optimizer": {"learning_rate": 0.1, "clip_norm": 1.0, "phases": {"elbo": {"weight_decay": 0.1}}},
        "model.kl_weight": 0.3,
    }
    for key, value in own.items():
        assert signature(experiment(**{key: value})) == signature(first), key
    assert why_apart([first, experiment(**own)]) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "mnist"}, "has dataset one for all, got 'digits' and, of member 2, 'mnist'"),
        ({"model.latent": 5}, "has model.latent one for all, got 4 and, of member 2, 5"),
        ({"model.binarized": True}, "has model.binarized one for all, got False and, of member 2, True"),
        ({"model.kl_weight": 0.0}, "has model.kl_weight 0 in all members or in none, got 1.0 and, of member 2, 0.0"),
        ({"model.name": "gan"}, "has model.name one for all, got 'vae' and, of member 2, 'gan'"),
        ({"epochs": None, "budget": {"images": 100}}, "has budget.images one for all, got None and, of member 2, 100"),
        ({"workers": 2}, "trains on one worker, got workers=2; set workers to 1"),
    ],
)
def test_runs_of_other_operations_are_apart(changes: dict[str, object], reason: str) -> None:
    assert why_apart([experiment(), experiment(seed=1), experiment(**changes)]) == reason


@pytest.mark.parametrize("name", models.names())
def test_runs_that_are_alike_branch_at_the_same_steps(name: str, tiny_spec: DataSpec) -> None:
    """Each real number of a model's changed alone, over 50 steps."""

    def branches(asked: Experiment) -> list[Hashable]:
        model, found = build(asked.model, tiny_spec, seed=0), []
        for step in range(50):
            model.set_progress(Progress(step, num_steps=50, steps_per_epoch=10))
            found.append(model.branch())
        return found

    first = experiment(model={"name": name})
    numbers = {key: value for key, value in first.model.model_dump().items() if isinstance(value, float) and value}
    apart = set()
    for key, value in numbers.items():
        other = experiment(model={"name": name, key: 0.6 * value})
        if why_apart([first, other]) is None:
            assert branches(first) == branches(other), key
        else:
            apart.add(key)
    assert apart == ({"growth_share"} if name == "progan" else set())


def test_runs_that_grow_at_other_steps_are_apart() -> None:
    shares = [experiment(model={"name": "progan", "growth_share": share}) for share in (0.3, 0.5)]
    assert why_apart(shares) == "has model.growth_share one for all, got 0.3 and, of member 1, 0.5"


def test_a_budget_of_seconds_is_no_packs() -> None:
    timed = experiment(epochs=None, budget={"seconds": 5.0})
    assert (
        why_apart([timed, timed]) == "takes a budget of epochs or images, got 5 s of training: members share the clock"
    )
