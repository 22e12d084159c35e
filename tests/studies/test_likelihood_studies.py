"""The studies `iwae` and `parzen`, on 8 x 8 digits in the place of MNIST, and their answers on made-up outcomes."""

from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm, ttest_rel

from genray.data import datasets
from genray.data.spec import Dataset
from genray.nn.noise import Noise
from genray.studies import _mnist, iwae, parzen
from genray.studies._mnist import runs_of
from genray.studies.base import Outcome
from tests.studies import fakes
from tests.studies.answers import check_answer, check_parts

both = pytest.mark.parametrize("study", [iwae, parzen])


@pytest.fixture
def _digits(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load", lambda name: digits)
    for study in (iwae, parzen):
        monkeypatch.setattr(study, "require_mnist", lambda name: None)


def outcomes_of(study: ModuleType) -> dict[str, Outcome]:
    return {part.name: fakes.outcome_of(part) for part in study.parts("quick")}


@both
@pytest.mark.usefixtures("_digits")
def test_parts_have_names_of_their_own_and_seeds_come_one_after_the_other(study: ModuleType) -> None:
    check_parts(study, parzen.REAL)


@pytest.mark.usefixtures("_digits")
def test_iwae_trains_through_its_stages_and_scores_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    scale = _mnist.Trainer.scale_learning_rates

    def noted(trainer: _mnist.Trainer, factor: float) -> None:
        scale(trainer, factor)
        rates.append(float(trainer.phases[0].rate))

    monkeypatch.setattr(_mnist.Trainer, "scale_learning_rates", noted)
    small = iwae.Work(("VAE, k=1", "VAE, k=5", "IWAE, k=5", "IWAE, k=50, 2 layers"), 2, (1, 1), 100, 150, 20)
    monkeypatch.setitem(iwae.WORK, "quick", small)
    found = outcomes_of(iwae)
    assert rates[:2] == pytest.approx([1e-3, 1e-3 * 10 ** (-1 / 7)])
    assert all(len(run["losses"]) == 2 and run["losses"][1] < run["losses"][0] for run in runs_of(found))
    assert 15 < found["vae-1-0"]["runs"][0]["nll_nats"] < 45  # 64 fair coins are 44
    answer = iwae.answer(found, "quick")
    check_answer(answer)
    assert [row[0] for row in answer.tables[0].rows] == list(small.labels)
    assert answer.tables[0].rows[0][2] == "86.76"
    rows = {row[0]: row[2] for row in answer.tables[1].rows}
    assert rows["batch size"] == "100"
    assert rows["epochs"].startswith("2: 1, 1 at the same rates")


@both
@pytest.mark.usefixtures("_digits")
def test_a_study_that_was_cut_off_answers_from_any_of_its_parts(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(iwae.WORK, "quick", iwae.Work(("VAE, k=1", "IWAE, k=5"), 2, (1,), 200, 50, 5))
    monkeypatch.setitem(parzen.WORK, "quick", parzen.Work(2, 1, 8, 2, 2, 3))
    monkeypatch.setattr(parzen, "NUM_SAMPLES", 50)
    assert study.PARTIAL
    found = outcomes_of(study)
    for count in range(1, len(found)):
        check_answer(study.answer(dict(list(found.items())[:count]), "quick"))
    some = study.answer(dict(list(found.items())[:-1]), "quick")
    assert "Mean over 1 to 2 seeds" in some.tables[0].note


@pytest.mark.usefixtures("_digits")
def test_nll_is_that_of_the_images_bits_for_every_model() -> None:
    """A decoder that takes no notice of z: its NLL is that of the drawn bits, in closed form, chunk by chunk."""
    trainer = _mnist.trainer_of(
        {"name": "vae", "hidden": 4, "latent": 2, "binarized": True}, seed=0, epochs=1, batch_size=50
    )
    model, work = trainer.model, iwae.WORK["quick"]._replace(num_images=250, num_draws=3)
    with torch.no_grad():
        for p in (*model.decoder.parameters(), *model.encoder.parameters()):
            p.zero_()
        model.decoder.head[0].bias.copy_(torch.linspace(-3, 3, 64))
        nll, error = iwae._nll_nats(model, work, torch.device("cpu"))
        images = (
            torch.tensor(datasets.load("mnist").test.images[np.linspace(0, 358, 250, dtype=int)]).float() / 127.5 - 1
        )
        seen = torch.cat([model.seen(images[i : i + 100], Noise("test", i)) for i in (0, 100, 200)])
    p = torch.sigmoid(torch.linspace(-3, 3, 64)).double().numpy()
    bits = seen.flatten(1).numpy() > 0
    assert nll == pytest.approx(-np.where(bits, np.log(p), np.log1p(-p)).sum(1).mean(), rel=1e-5)
    assert error < 1e-6


def test_claims_hold_where_every_seed_agrees_and_not_where_they_do_not() -> None:
    nll = {
        "VAE, k=1": {0: 90.0, 1: 91.0, 2: 90.5},
        "VAE, k=5": {0: 89.5, 1: 90.6, 2: 90.1},
        "IWAE, k=5": {0: 88.4, 1: 89.5, 2: 88.9},
        "IWAE, k=50": {0: 88.0, 1: 89.6, 2: 88.9},
    }
    first, second, third = iwae._checks(nll)
    assert [first.verdict, second.verdict, third.verdict] == ["holds", "holds", "not decided"]
    means = [list(nll[label].values()) for label in ("VAE, k=1", "VAE, k=5", "IWAE, k=5")]
    smallest, p = (ttest_rel(other, means[2]).pvalue for other in means[:2])
    found = "NLL of VAE, k=5 less that of IWAE, k=5: 1.13 ± 0.14 nats, paired by seed; Holm's p {}"
    assert first.found == found.format(f"{2 * p:.4f}")  # the second smallest of three
    del nll["IWAE, k=50"]
    nll["VAE, k=5"] = {7: 80.0, 1: 90.6, 0: 89.5, 2: 90.1}  # as where a study was cut off: another order, a seed alone
    assert iwae._checks(nll)[0].found == found.format(f"{max(p, 2 * smallest):.5f}")  # never falling
    for seed in (1, 2):
        del nll["IWAE, k=5"][seed]
    assert iwae._checks(nll) == []


@pytest.mark.usefixtures("_digits")
def test_parzen_scores_every_model_by_its_own_sigma(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parzen.WORK, "quick", parzen.Work(2, 2, 32, 4, 4, 10))
    monkeypatch.setattr(parzen, "NUM_SAMPLES", 300)
    found = outcomes_of(parzen)
    answer = parzen.answer(found, "quick")
    check_answer(answer)
    assert [row[0] for row in answer.tables[0].rows] == ["GAN", "VAE", "AAE", "training images"]
    assert all("samples" not in run for run in answer.data["runs"])
    [real] = found["training-images-1"]["runs"]
    train = digits.train.images[np.random.default_rng(1).permutation(len(digits.train))[:300]].reshape(300, -1) / 255
    test = digits.test.images.reshape(len(digits.test), -1) / 255
    nats = logsumexp(norm(train[None], real["sigma"]).logpdf(test[:, None]).sum(-1), axis=1, b=1 / 300)
    assert real["parzen_nats"] == pytest.approx(nats.mean())
    assert real["error_nats"] == pytest.approx(nats.std() / len(nats) ** 0.5, rel=0.01)


def test_models_are_held_against_training_images_seed_by_seed_and_their_orders_told() -> None:
    """By scipy's paired t and Holm's steps: the AAE's mean is above that of training images, but not decidedly."""
    nats = {
        "GAN": [225.0, 220.0, 231.0],
        "VAE": [330.0, 331.5, 329.0],
        "AAE": [340.0, 290.0, 330.0],
        "training images": [310.0, 310.5, 309.8],
    }
    ais = {"GAN": 600.0, "VAE": 800.0, "AAE": 900.0}
    found = {
        label: [
            {"seed": seed, "parzen_nats": value} | ({"ais_nats": ais[label]} if label in ais else {})
            for seed, value in enumerate(values)
        ]
        for label, values in nats.items()
    }
    checks = parzen._checks(found)
    assert [check.verdict for check in checks] == ["holds", "does not hold", "not decided"]
    p = [ttest_rel(nats["training images"], nats[label]).pvalue for label in ais]
    assert np.argsort(p).tolist() == [1, 0, 2]
    said = [float(check.found.split("Holm's p ")[1].split(",")[0]) for check in checks]
    assert said == pytest.approx([max(2 * p[0], 3 * p[1]), 3 * p[1], p[2]], rel=0.05)
    assert checks[1].found.startswith("training images less VAE: -20.07 ± ")
    [order] = parzen._summary(found, parzen.WORK["full"])[1:]
    assert order.endswith("by the window: VAE > AAE > GAN; by AIS: AAE > VAE > GAN.")
    assert len(parzen._summary(found, parzen.WORK["quick"])) == 1
    del found["VAE"]
    assert len(parzen._checks(found)) == 2
