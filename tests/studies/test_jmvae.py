"""The study `jmvae` on 8 x 8 digits in the place of MNIST: cut off, from some of its parts, and its estimates."""

import numpy as np
import pytest
import torch

from genray.data import datasets
from genray.data.spec import Dataset
from genray.studies import _mnist, _pieces, jmvae
from genray.studies.base import Outcome
from tests.studies import fakes

SMALL = jmvae.Work(2, 2, 1, 32, 120, 20)


@pytest.fixture
def _digits(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load", lambda name: digits)
    monkeypatch.setattr(jmvae, "require_mnist", lambda name: None)
    monkeypatch.setitem(jmvae.WORK, "quick", SMALL)


@pytest.mark.usefixtures("_digits")
def test_it_answers_from_all_parts_and_from_any(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = jmvae.parts("quick")
    assert [part.name for part in parts] == ["alpha-0.1-0", "alpha-1-0", "alpha-0.1-1", "alpha-1-1"]
    found = {part.name: fakes.outcome_of(part) for part in parts}
    for count in (1, 2, 3, 4):
        answer = jmvae.answer(dict(list(found.items())[:count]), "quick")
        for table in answer.tables:
            assert all(len(row) == len(table.columns) for row in table.rows)
        assert len(answer.checks) == (2 if count == 4 else 0)
    first, second = answer.tables[0].rows
    assert first[3:5] == ["-86.86", "-86.85 ± 0.03"]
    assert second[3:5] == ["-", "-"]
    assert all("images_by_label" not in run for run in answer.data["runs"])
    monkeypatch.setattr(_pieces, "PIECE_S", 0.0)
    work = parts[0].pieces()
    saved = next(work)
    work.close()
    again = fakes.outcome_of(parts[0], saved.state)
    assert fakes.without_times(again) == fakes.without_times(found["alpha-0.1-0"])


@pytest.mark.usefixtures("_digits")
def test_what_takes_no_notice_of_z_scores_its_closed_form(digits: Dataset) -> None:
    """All networks zero but for what the decoders always say: ln p is that of the bits and of the label."""
    trainer = _mnist.trainer_of(
        {"name": "joint_vae", "hidden": 4, "latent": 2, "binarized": True}, seed=0, epochs=1, batch_size=50
    )
    model, logits, pixel = trainer.model, torch.linspace(-1, 1, 10), 1.5
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.decoders[0].head.bias.copy_(logits)
        model.decoders[1].head[0].bias.fill_(pixel)
    found: Outcome = jmvae.scores(model.eval(), SMALL, torch.device("cpu"))
    index = np.linspace(0, len(digits.test) - 1, 120, dtype=int)
    labels = digits.test.labels[index]
    of_label = logits.log_softmax(0).numpy()[labels].mean()
    p = torch.sigmoid(torch.tensor(pixel)).item()
    grey = digits.test.images[index] / 255
    image = (grey * np.log(p) + (1 - grey) * np.log1p(-p)).reshape(120, -1).sum(1)
    spread = (grey * (1 - grey)).reshape(120, -1).sum(1) * (np.log(p) - np.log1p(-p)) ** 2  # of the drawn bits
    error = np.sqrt(spread.sum()) / 120
    assert found["image_nats"] == pytest.approx(image.mean(), abs=4 * error)
    assert found["joint_nats"] - found["image_nats"] == pytest.approx(of_label, abs=1e-4)
    assert found["image_given_label_nats"] == pytest.approx(found["image_nats"], abs=1e-4)  # every KL is 0
    assert found["label_given_image_nats"] == pytest.approx(of_label, abs=1e-4)
    assert found["label_accuracy"] == pytest.approx((labels == 9).mean())


def test_claims_are_what_alpha_weighs() -> None:
    def run(label: str, seed: int, joint: float, given: float) -> Outcome:
        return {"label": label, "seed": seed, "joint_nats": joint, "image_given_label_nats": given}

    found = {
        "α = 0.1": [run("α = 0.1", 0, -88.0, -120.0), run("α = 0.1", 1, -89.0, -121.0)],
        "α = 1": [run("α = 1", 0, -90.0, -110.0), run("α = 1", 1, -91.1, -125.0)],
    }
    costs, brings = jmvae._checks(found)
    assert costs.verdict == "holds"
    assert costs.found == (
        "ln p(image, label) with α = 0.1 less that with α = 1: 2.05 ± 0.64 nats, paired by seed; Holm's p 0.031"
    )
    assert brings.verdict == "not decided"
