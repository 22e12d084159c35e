import pytest

from genray.config import Experiment, Optimizer, PhaseOptimizer
from genray.errors import UserError
from genray.files import parse_yaml
from genray.overrides import flatten, parse_overrides, with_values
from genray.settings import OptimizerConfig


def test_an_experiment_survives_yaml() -> None:
    experiment = Experiment.parse({"model": {"name": "vae", "hidden": 19}, "optimizer": {"learning_rate": 1e-3}})
    assert Experiment.parse(parse_yaml(experiment.to_yaml(), "a.yaml")) == experiment
    assert experiment.model.hidden == 19


@pytest.mark.parametrize(
    ("changes", "rule", "fix"),
    [
        ({"epoch": 3}, "unknown key", "did you mean 'epochs'?"),
        ({"model.hiden": 3}, "unknown key", "did you mean 'hidden'?"),
        ({"optimizer.learning_rat": 3}, "unknown key", "did you mean 'learning_rate'?"),
        ({"model.hidden": 0}, "greater than 0, got 0", "model"),
        ({"model.name": "vea"}, "'vea' is not a model", "did you mean 'vae'?"),
        ({"metrics": ["frechett"]}, "'frechett' is not a metric", "did you mean 'frechet'?"),
        ({"batch_size": 33, "workers": 2}, "multiple of workers", "batch_size=33, workers=2"),
        (
            {"batch_size": 4, "workers": 4, "model": {"name": "progan", "repelling_weight": 0.1}},
            "batch_size must be >= 2 images a worker",
            "batch_size=4, workers=4; set batch_size to 8",
        ),
        ({"optimizer.learning_rate": float("inf")}, "finite", "inf"),
        ({"budget": {"epochs": 2, "seconds": 3}}, "one of epochs, seconds and images", "epochs=2, seconds=3"),
        ({"budget": {}}, "one of epochs, seconds and images", "got none"),
        ({"epochs": 3, "budget": {"seconds": 3}}, "exclude each other, got epochs=3", "set epochs to null"),
        ({"epochs": 3, "budget": {"epochs": 3}}, "exclude each other, got epochs=3", "set epochs to null"),
        ({"budget": {"seconds": 0}}, "budget.seconds: input should be greater than 0", "got 0"),
        ({"budget": {"seconds": -1.5}}, "budget.seconds: input should be greater than 0", "got -1.5"),
        ({"budget": {"seconds": float("nan")}}, "budget.seconds: input should be a finite number", "got nan"),
        ({"budget": {"images": 0}}, "budget.images: input should be greater than 0", "got 0"),
        ({"budget": {"images": 1.5}}, "budget.images: input should be a valid integer", "got"),
        ({"budget": {"epochs": 0}}, "epochs: input should be greater than 0", "got 0"),
        ({"budget": {"second": 3}}, "budget.second: unknown key", "did you mean 'seconds'?"),
        ({"budget": 3}, "budget: input should be", "got 3"),
        ({"seed": -1}, "greater than or equal to 0", "-1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict, rule: str, fix: str) -> None:
    with pytest.raises(UserError) as caught:
        Experiment.parse(with_values({"model": {"name": "vae"}}, changes), "a.yaml")
    message = str(caught.value)
    assert rule in message
    assert fix in message
    assert message.startswith("a.yaml: ")
    assert "\n" not in message


def test_a_budget_in_epochs_is_one_thing_however_it_is_written() -> None:
    short, long = ({"model": {"name": "vae"}} | change for change in ({"epochs": 7}, {"budget": {"epochs": 7}}))
    assert Experiment.parse(short) == Experiment.parse(long)
    assert Experiment.parse(long).plain()["epochs"] == 7
    assert Experiment.parse({"model": {"name": "vae"}}).limit.text == "60 epochs"


@pytest.mark.parametrize(("key", "text"), [("seconds", "90 s of training"), ("images", "90 images")])
def test_a_budget_survives_yaml_and_can_be_set_over_an_experiment(key: str, text: str) -> None:
    over = {"epochs": None, f"budget.{key}": 90}
    experiment = Experiment.parse(with_values(Experiment.parse({"model": {"name": "vae"}}).plain(), over))
    assert Experiment.parse(experiment.plain()) == experiment
    assert (experiment.epochs, experiment.limit.text) == (None, text)


def test_differences_are_named_by_their_dotted_keys() -> None:
    one = Experiment.parse({"model": {"name": "vae"}})
    other = Experiment.parse({"model": {"name": "vae", "hidden": 19}, "seed": 1})
    assert one.differences(other) == ["model.hidden", "seed"]
    assert one.differences(one) == []
    assert one.differences(Experiment.parse({"model": {"name": "vae"}, "resources": {"gpu": 1}})) == []


def test_overrides_reach_any_depth_and_leave_the_original_alone() -> None:
    tree = {"a": {"b": 1, "c": 2}}
    changed = with_values(tree, parse_overrides(["a.b=3", "d.e=[1, x, 1e-4]", "f=null"]))
    assert changed == {"a": {"b": 3, "c": 2}, "d": {"e": [1, "x", 1e-4]}, "f": None}
    assert tree == {"a": {"b": 1, "c": 2}}
    assert flatten(changed) == {"a.b": 3, "a.c": 2, "d.e": [1, "x", 1e-4], "f": None}


@pytest.mark.parametrize("text", ["epochs", "=3", "a..b=3", ".a=1"])
def test_an_override_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="key=value"):
        parse_overrides([text])


def test_a_phase_takes_the_models_values_then_the_experiments_then_its_own() -> None:
    own = OptimizerConfig(learning_rate=1e-4, betas=(0.5, 0.99))
    override = Optimizer(learning_rate=2e-4, phases={"generator": PhaseOptimizer(clip_norm=1.0)})
    assert override.resolve("generator", own) == OptimizerConfig(learning_rate=2e-4, betas=(0.5, 0.99), clip_norm=1.0)
    assert override.resolve("discriminator", own) == OptimizerConfig(learning_rate=2e-4, betas=(0.5, 0.99))
    assert Optimizer().resolve("generator", own) == own
    scaled = Optimizer(learning_rate_scale=3, phases={"generator": PhaseOptimizer(learning_rate=1e-2)})
    assert scaled.resolve("discriminator", own).learning_rate == pytest.approx(3e-4)
    assert scaled.resolve("generator", own).learning_rate == 1e-2  # what is set is meant
