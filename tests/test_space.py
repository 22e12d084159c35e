from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from genray.data.spec import Dataset
from genray.errors import UserError
from genray.preflight import check_sweep
from genray.space import Sweep

SPACES = sorted((Path(__file__).parents[1] / "search_spaces").glob("*.yaml"))
TREE: dict[str, Any] = {
    "experiment": {"dataset": "digits", "epochs": 4},
    "models": ["vae", "gan"],
    "search": {"model.hidden": {"choice": [16, 32]}},
    "trials": 4,
}


def with_search(**search: object) -> dict[str, Any]:
    return TREE | {"search": {key.replace("__", "."): value for key, value in search.items()}}


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_search_space_is_valid_for_each_of_its_models(path: Path, digits: Dataset) -> None:
    sweep = Sweep.load(path)
    assert {experiment.model.name for experiment in sweep.probes()} == set(sweep.models)
    check_sweep(sweep, digits.training_data)
    assert Sweep.parse(yaml.safe_load(sweep.to_yaml())) == sweep


def test_there_is_one_search_space_a_model_and_the_three_named_ones() -> None:
    assert {"vae", "gan", "vae_gan", "aae", "compare", "quickstart", "hidden_size"} <= {path.stem for path in SPACES}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": ["vea"]}, "did you mean 'vae'"),
        ({"models": ["vae", "vae"]}, "each stands once"),
        ({"models": []}, "models"),
        ({"objectives": {}}, "did you mean 'objective'"),
        ({"optuna": {"sampler": "tpa"}}, "did you mean 'tpe'"),
        ({"scheduler": {"ahsa": {}}}, "did you mean 'asha'"),
        ({"scheduler": {"asha": {}, "median": {}}}, "one of"),
        ({"scheduler": "asah"}, "did you mean 'asha"),
        ({"objective": {"metric": "frechett"}}, "did you mean 'frechet'"),
        ({"objective": {"metric": "frechet", "mode": "low"}}, "'min' or 'max'"),
        ({"objective": {"metric": "class_entropy"}}, "set mode to min or max"),
        ({"experiment": {"metrics": ["frechet"]}, "objective": {"metric": "precision"}}, "no metric of the experiment"),
        ({"experiment": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"experiment": {"model": {"name": "vae"}}}, "named under `models`"),
        ({"model_search": {"aae": {}}}, "not among models"),
        ({"trials": None}, "trials is required"),
        ({"trials": 0}, "greater than 0"),
        ({"finalists": {"seeds": 0}}, "greater than 0"),
        (
            {"pack": 2, "objective": {"metric": "train_seconds", "mode": "min"}},
            "train_seconds cannot be compared of trials that share a device, got pack=2; set it to 1",
        ),
        ({"finalists": {"seeds": 10**12}}, "less than or equal to 1000"),
        ({"finalists": {"pack": 0}}, "pack must be auto or a number of seeds >= 1, got 0"),
        ({"finalists": {"pack": "all"}}, "pack must be auto or a number of seeds >= 1, got 'all'"),
        ({"objective": [{"metric": "frechet"}, {"metric": "train_seconds"}], "scheduler": {"asha": {}}}, "none"),
        ({"optuna": {"sampler": "grid"}, "trials": 3}, "trials must be <="),
        ({"name": "../out"}, "pattern"),
        (with_search(model__hiden={"choice": [16]}), "did you mean 'hidden'"),
        (with_search(model__hidden={"choices": [16]}), "did you mean 'choice'"),
        (with_search(model__hidden=[16, 32]), "kinds: choice"),
        (with_search(model__hidden={"choice": [16], "uniform": [0, 1]}), "one kind"),
        (with_search(model__hidden={"choice": []}), "at least 1"),
        (with_search(model__hidden={"choice": [0]}), "greater than 0"),
        (with_search(model__hidden={"choice": ["wide"]}), "valid integer"),
        (with_search(model__hidden={"choice": [[16]]}), "a choice is"),
        (with_search(model__hidden={"choice": [16, 16]}), "stands once"),
        (with_search(model__hidden={"uniform": [16, 64]}), "valid integer"),
        (with_search(model__hidden={"int": [64, 16]}), "low < high"),
        (with_search(model__hidden={"int": [16.5, 64]}), "valid integer"),
        (with_search(model__hidden={"int": [16, 64], "step": 10}), "step must divide"),
        (with_search(model__dropout={"uniform": [0.0, 1.0]}), "less than 1"),
        (with_search(model__dropout={"uniform": [0.0, 0.5], "step": 0.2}), "step must divide"),
        (with_search(model__dropout={"uniform": [0.0, 0.5], "step": 1e-13}), "at least 1e-09 of the range"),
        (with_search(model__dropout={"uniform": [0.0, 0.5], "step": 5e-324}), "raise it, or leave it out"),
        (with_search(model__dropout={"uniform": [-1e308, 1e308], "step": 1.0}), "step must be at least"),
        (with_search(model__dropout={"uniform": [0.0, 0.5], "stop": 0.1}), "did you mean 'step'"),
        (with_search(model__dropout={"uniform": ["0", 0.5]}), "must be a number"),
        (with_search(model__dropout={"uniform": [0.0, float("nan")]}), "finite"),
        (with_search(optimizer__learning_rate={"loguniform": [0.0, 0.1]}), "low > 0"),
        (with_search(optimizer__learning_rate={"loguniform": [1e-4, 0.1], "step": 2}), "does not go with"),
        (with_search(model__gamma={"uniform": [0.0, 1.0]}), "unknown key"),
        (with_search(epochs={"choice": [1, 2]}), "same budget"),
        (with_search(resources__cpu={"choice": [1, 2]}), "same machines"),
        (with_search(model__name={"choice": ["vae"]}), "named under `models`"),
        (with_search(dataset={"choice": ["digits"]}), "same images"),
        (with_search(model__dropout={"uniform": [0, 0.5]}) | {"optuna": {"sampler": "grid"}}, "continuous"),
        (
            with_search(seed={"int": [0, 10**12]}) | {"optuna": {"sampler": "grid"}},
            "a grid must have <= 100000 points, got vae=1e+12; raise a step",
        ),
        (
            with_search(model__dropout={"uniform": [0.0, 0.5], "step": 1e-6}) | {"optuna": {"sampler": "grid"}},
            "<= 100000 points, got vae=500001",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=r".") as error:
        Sweep.parse(TREE | change)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_search(batch_size={"choice": [32, 2000]}), "batch_size must be <="),
        ({"objective": {"metric": "elbo", "mode": "max"}}, "gan has no 'elbo'"),
        (
            {
                "models": ["vae"],
                "search": {"model.likelihood": {"choice": ["bernoulli", "gaussian"]}},
                "objective": {"metric": "elbo", "mode": "max"},
            },
            "'elbo' ranks trials of one likelihood alone, got bernoulli, gaussian in the search of vae; search one,",
        ),
        (with_search(optimizer__phases__elob__learning_rate={"choice": [1e-3]}), "did you mean 'elbo'"),
    ],
)
def test_what_the_data_shows_to_be_wrong_is_refused(change: dict[str, Any], words: str, digits: Dataset) -> None:
    sweep = Sweep.parse(TREE | change)
    with pytest.raises(UserError, match=r".") as error:
        check_sweep(sweep, digits.training_data)
    assert words in str(error.value)


def test_values_are_set_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(TREE))
    sweep = Sweep.load(
        path,
        {
            "trials": 2,
            "experiment.epochs": 5,
            "experiment.optimizer.learning_rate": 0.1,
            "search.model.hidden": {"choice": [64]},
            "model_search.vae.model.kl_weight": {"uniform": [0, 1]},
        },
    )
    assert (sweep.num_trials, sweep.most_resource) == (2, 5)
    assert sweep.experiment_of("vae", {}).optimizer.learning_rate == 0.1
    assert list(sweep.space("vae")) == ["model.hidden", "model.kl_weight"]
    assert sweep.first_experiment("gan").model.hidden == 64


def test_of_a_files_models_some_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    kl_weight = {"model.kl_weight": {"uniform": [0, 1]}}
    path.write_text(yaml.safe_dump(TREE | {"model_search": {"vae": kl_weight, "gan": {}}}))
    sweep = Sweep.load(path, {"models": ["vae"]})
    assert (sweep.models, list(sweep.model_search)) == (("vae",), ["vae"])
    with pytest.raises(UserError, match="not among models"):
        Sweep.load(path, {"models": ["vae"], "model_search.gan.model.dropout": {"uniform": [0, 0.5]}})


@pytest.mark.parametrize(("metric", "mode"), [("frechet", "min"), ("recall", "max"), ("train_seconds", "min")])
def test_an_objective_is_sought_at_its_good_end(metric: str, mode: str) -> None:
    assert Sweep.parse(TREE | {"objective": {"metric": metric}}).objective[0].mode == mode


@pytest.mark.parametrize(
    ("pack", "experiment", "size"),
    [
        ("auto", {}, 1),
        ("auto", {"resources": {"gpu": 0}}, 1),
        ("auto", {"resources": {"gpu": 0.5}}, 5),
        ("auto", {"resources": {"gpu": 1}, "budget": {"images": 10_000}}, 5),
        ("auto", {"resources": {"gpu": 1}, "budget": {"seconds": 9}}, 1),
        ("auto", {"resources": {"gpu": 1}, "workers": 2}, 1),
        (3, {}, 3),
        (9, {}, 5),
        (1, {"resources": {"gpu": 1}}, 1),
        (3, {"budget": {"seconds": 9}}, 1),
        (3, {"workers": 2}, 1),
    ],
)
def test_how_many_finalists_train_as_one(pack: int | str, experiment: dict[str, Any], size: int) -> None:
    tree = {"models": ["vae"], "trials": 2, "experiment": experiment, "finalists": {"seeds": 5, "pack": pack}}
    assert Sweep.parse(tree).pack_size == size


def test_finalists_get_seeds_that_no_trial_can_have() -> None:
    assert Sweep.parse(TREE | {"experiment": {"seed": 7}}).finalist_seeds() == (8, 9, 10, 11, 12)
    searched = with_search(seed={"int": [0, 20], "step": 5}) | {"finalists": {"seeds": 2}}
    assert Sweep.parse(searched).finalist_seeds() == (21, 22)


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        ({"choice": [16, 32, 64]}, [16, 32, 64]),
        ({"int": [16, 64], "step": 16}, [16, 32, 48, 64]),
    ],
)
def test_optuna_draws_every_value_of_a_range_and_no_other(distribution: dict[str, Any], values: list[int]) -> None:
    [kind] = Sweep.parse(with_search(model__hidden=distribution)).space("vae").values()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    assert {kind.suggest(study.ask(), "x") for _ in range(60)} == set(values)
    assert list(kind.grid() or ()) == values
    assert kind.size == len(values)


def test_ranges_with_a_step_hold_both_ends() -> None:
    [kind] = Sweep.parse(with_search(model__dropout={"uniform": [0.0, 0.5], "step": 0.1})).space("vae").values()
    assert kind.grid() == pytest.approx((0.0, 0.1, 0.2, 0.3, 0.4, 0.5))
    assert kind.size == 6


SECONDS = {"dataset": "digits", "budget": {"seconds": 9}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"experiment": SECONDS, "scheduler": {"asha": {"grace_epochs": 3}}},
            "grace_epochs needs a budget in epochs, got",
        ),
        ({"experiment": SECONDS, "scheduler": "median"}, "scheduler.median needs a budget in epochs, .* got 9 s of"),
        ({"scheduler": {"asha": {"grace_percent": 3}}}, "grace_percent needs a budget in seconds or images, got"),
        ({"scheduler": {"asha": {"grace_percent": 100}}}, "grace_percent: input should be less than or equal to 99"),
        ({"search": {"budget.seconds": {"uniform": [1, 2]}}}, "'budget.seconds' cannot be searched: .* same budget"),
        ({"experiment": SECONDS | {"epochs": 3}}, "exclude each other, got epochs=3"),
    ],
)
def test_early_stopping_counts_as_the_budget_does(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Sweep.parse({"models": ["vae"], "trials": 2} | changes)


@pytest.mark.parametrize("scheduler", ["none", "asha", {"asha": {"grace_percent": 20}}])
def test_a_sweep_with_seconds_survives_yaml(scheduler: Any) -> None:
    sweep = Sweep.parse({"models": ["vae"], "trials": 2, "experiment": SECONDS, "scheduler": scheduler})
    assert Sweep.parse(sweep.plain()) == sweep
    assert sweep.first_experiment("vae").limit.seconds == 9


def test_a_space_with_exponents_searches_numbers_and_survives_the_folder_of_a_sweep(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "models: [vae]\ntrials: 2\nsearch:\n"
        "  optimizer.learning_rate: {loguniform: [1e-4, 1e-2]}\n"
        "  optimizer.weight_decay: {choice: [1e-4, 1e-3]}\n"
    )
    sweep = Sweep.load(path)
    rate, decay = sweep.space("vae").values()
    assert (rate.probes()[:2], decay.grid()) == ((0.0001, 0.01), (0.0001, 0.001))
    path.write_text(sweep.to_yaml())
    assert Sweep.load(path) == sweep
