"""A training that is cut off, anywhere and any number of times, comes out bitwise as one that never was; and the folder
that keeps what it goes on from."""

from dataclasses import replace
from pathlib import Path

import pytest

from genray.cluster.ask import ask
from genray.cluster.parts import Asked, Begun, Record, opened
from genray.data import datasets
from genray.data.spec import Dataset
from genray.errors import UserError
from genray.studies import _hidden_training, _pieces, iwae, parzen
from genray.studies.base import Part, Saved
from tests.studies import fakes


@pytest.fixture(autouse=True)
def _small(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load", lambda name: digits)
    monkeypatch.setattr(_pieces, "PIECE_S", 0.0)  # a piece an epoch
    monkeypatch.setitem(iwae.WORK, "quick", iwae.Work(("IWAE, k=5",), 1, (1, 2), 200, 100, 20))
    monkeypatch.setitem(parzen.WORK, "quick", parzen.Work(1, 3, 8, 2, 2, 3))
    monkeypatch.setattr(parzen, "NUM_SAMPLES", 100)


PARTS = [
    Part("iwae", iwae.training, {"label": "IWAE, k=5", "seeds": [0], "budget": "quick"}),
    *(Part(label, parzen.scored, {"label": label, "seeds": [0], "budget": "quick"}) for label in ("VAE", "GAN", "AAE")),
]


def cut_off_after(part: Part, saved: bytes | None, pieces: int) -> Saved:
    """As by a kill: nothing of the process is left but what it yielded last."""
    work = part.pieces(saved)
    found = [next(work) for _ in range(pieces)]
    work.close()
    return found[-1]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_training_cut_off_comes_out_bitwise_the_same(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cut_off_after(part, None, 1)
    second = cut_off_after(part, first.state, 1)
    third = cut_off_after(part, second.state, 1)
    assert [saved.reached for saved in (first, second, third)] == [f"epoch {n} of 3" for n in (1, 2, 3)]
    monkeypatch.setattr(_pieces, "PIECE_S", 1e9)
    whole = fakes.without_times(fakes.outcome_of(part))
    assert fakes.without_times(fakes.outcome_of(part, second.state)) == whole
    assert fakes.without_times(fakes.outcome_of(part, third.state)) == whole  # trained, but not scored yet


SEEDS = {"dataset": "digits", "hidden": 8, "epochs": 3, "batch_size": 64, "seeds": [0, 4]}
TOGETHER = [
    *(Part(model, _hidden_training.trained, {"model": model, **SEEDS}) for model in ("gan", "aae")),
    *(replace(part, arguments={**part.arguments, "seeds": [0, 4]}) for part in PARTS),
]


@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("part", TOGETHER, ids=lambda part: part.name)
def test_seeds_of_a_part_come_out_as_each_alone(part: Part, packs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bitwise where they train in turns; one after the other's epoch or as a pack, cut off or not."""
    monkeypatch.setattr(_pieces, "_packs_pay", lambda device: packs)
    saved = cut_off_after(part, cut_off_after(part, None, 1).state, 1)
    assert saved.reached == "epoch 2 of 3"
    together = fakes.without_times(fakes.outcome_of(part, saved.state))["runs"]
    apart = [replace(part, arguments={**part.arguments, "seeds": [seed]}) for seed in (0, 4)]
    alone = [run for part in apart for run in fakes.without_times(fakes.outcome_of(part))["runs"]]
    assert [run["seed"] for run in together] == [0, 4]
    if packs:
        for run, other in zip(together, alone, strict=True):
            for key in run.keys() & {"scores", "losses", "nll_nats", "parzen_nats"}:
                assert run[key] == pytest.approx(other[key], rel=2e-2, abs=2e-3)
    else:
        assert together == alone


def test_long_pieces_save_at_the_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pieces, "PIECE_S", 1e9)
    assert [saved.reached for saved in PARTS[0].pieces()] == ["epoch 3 of 3"]


def test_what_is_begun_is_kept_until_it_is_done(tmp_path: Path) -> None:
    part, other = Part("a", fakes.climb, {"steps": 3}), Part("b", fakes.climb, {"steps": 3})
    begun = Begun(Saved(b"\x00\n\xff{state}\n", "step 1 of 3"), 2.5)
    with opened(tmp_path / "out", Asked("squares", "quick")) as shelf:
        shelf.save(part, begun)
        assert shelf.begun([part, other]) == {"a": begun}
        assert shelf.begun([Part("a", fakes.climb, {"steps": 4})]) == {}
        assert shelf.records([part, other]) == {}
        shelf.keep(part, Record({"square": 9}, 3.0))
        assert shelf.begun([part, other]) == {}
        assert [path.name for path in (tmp_path / "out" / "parts").iterdir()] == ["a.json"]


def test_a_file_of_a_part_that_is_damaged_is_named_and_its_part_done_again_without_it(tmp_path: Path) -> None:
    part, record = Part("a", fakes.climb, {"steps": 3}), Record({"square": 9}, 3.0)
    begun = Begun(Saved(bytes(range(256)), "step 1 of 3"), 2.5)
    folder = tmp_path / "out" / "parts"
    with opened(tmp_path / "out", Asked("squares", "quick")) as shelf:
        shelf.save(part, begun)
        whole = (folder / "a.begun").read_bytes()
        for damaged in (b"", whole[:40], whole[:-1] + b"\0", whole[:-9]):
            (folder / "a.begun").write_bytes(damaged)
            with pytest.raises(UserError, match=r"a\.begun is damaged; remove it"):
                shelf.begun([part])
        shelf.keep(part, record)
        content = (folder / "a.json").read_bytes()
        for damaged in (b"", content[: len(content) // 2], b"\xff" + content, b"[]", b'{"arguments": {"steps": 3}}'):
            (folder / "a.json").write_bytes(damaged)
            with pytest.raises(UserError, match=r"a\.json is damaged; remove it, and its part is done again$"):
                shelf.records([part])
        (folder / "a.json").unlink()
        assert shelf.records([part]) == {}


def test_a_study_that_answers_from_all_parts_alone_takes_no_minutes(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^study gradient_variance answers from all of its parts alone, so it takes no"
    ):
        ask("gradient_variance", out=tmp_path / "out", minutes=1)
    with pytest.raises(UserError, match=r"^--minutes must be above 0, got -1; give"):
        ask("iwae", out=tmp_path / "out", minutes=-1)
