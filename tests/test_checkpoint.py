"""Checkpoints that a kill cut short, or a disk damaged."""

from __future__ import annotations

import errno
import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genray import checkpoint
from genray.data.spec import DataSpec
from genray.errors import UserError


def state_of(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "row": {"epoch": epoch}, "model": {"weight": torch.full((40, 50), float(epoch))}}


def epoch_of(path: Path) -> int | None:
    found = checkpoint.latest(path)
    if found is None:
        return None
    assert torch.equal(found["model"]["weight"], state_of(found["epoch"])["model"]["weight"])
    return int(found["epoch"])


def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path, tiny_spec: DataSpec) -> None:
    path = tmp_path / "state.pt"
    checkpoint.save(path, state_of(3), tiny_spec)
    content, numbers, found = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(content)
        damaged[numbers.integers(len(content))] ^= 1 << int(numbers.integers(8))
        path.write_bytes(damaged)
        try:
            state, spec = checkpoint.read(path)
        except UserError:
            found += 1
        else:
            assert spec == tiny_spec
            assert torch.equal(state["model"]["weight"], state_of(3)["model"]["weight"])
    assert found > 250


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-700] + bytes([content[-700] ^ 1]) + content[-699:],
        lambda content: content.replace(b"format", b"formal"),
        lambda content: b"PK and so on" * 50,
    ],
)
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    damage: Callable[[bytes], bytes], tmp_path: Path, tiny_spec: DataSpec, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.pt"
    for epoch in (5, 10, 15):
        checkpoint.save(path, state_of(epoch), tiny_spec)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert epoch_of(path) == 10
    assert str(path) in caplog.text
    path.with_name(checkpoint.BEFORE).write_bytes(b"")
    assert epoch_of(path) is None
    with pytest.raises(UserError, match=r"state\.pt"):  # whoever wants this very state is not given another
        checkpoint.read(path)


def test_a_damaged_checkpoint_never_takes_the_place_of_the_good_one(tmp_path: Path, tiny_spec: DataSpec) -> None:
    path = tmp_path / "state.pt"
    for epoch in (5, 10):
        checkpoint.save(path, state_of(epoch), tiny_spec)
    path.write_bytes(b"damaged")
    assert epoch_of(path) == 5
    checkpoint.save(path, state_of(11), tiny_spec)
    path.write_bytes(b"damaged again")
    assert epoch_of(path) == 5


class Killed(BaseException):
    pass


def no_link(*places: Path) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


@pytest.mark.parametrize("link", [os.link, no_link])
@pytest.mark.parametrize("num_before", [0, 1, 2])
def test_a_kill_between_any_two_writes_leaves_the_old_state_or_the_new(
    num_before: int,
    link: Callable[..., None],
    tmp_path: Path,
    tiny_spec: DataSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each call that changes the folder is cut off once before it is made, and once after. So it is with the best one,
    and on a file system without links."""
    monkeypatch.setattr(os, "link", link)
    changing = ("open", "fsync", "replace", "rename", "unlink", "link", "chmod", "mkdir")
    outcomes = set()
    for cut in range(1_000):
        folder = tmp_path / str(cut)
        folder.mkdir()
        path = folder / "state.pt"
        for epoch in range(num_before):
            checkpoint.save(path, state_of(epoch), tiny_spec, best=True)
        calls = iter(range(1_000_000))

        def cut_off(call: Callable[..., Any], calls: Any = calls, cut: int = cut) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                if next(calls) == cut:
                    raise Killed
                result = call(*args, **kwargs)
                if next(calls) == cut:
                    raise Killed
                return result

            return wrapped

        with monkeypatch.context() as patch:
            for name in changing:
                patch.setattr(os, name, cut_off(getattr(os, name)))
            try:
                checkpoint.save(path, state_of(9), tiny_spec, best=True)
            except Killed:
                ended = False
            else:
                ended = True
        before = num_before - 1 if num_before else None
        best = path.with_name(checkpoint.BEST)
        found = epoch_of(path), checkpoint.read(best)[0]["epoch"] if best.exists() else None
        assert set(found) <= {before, 9}
        outcomes.add(found)
        if ended:
            assert found == (9, 9)
            assert {p.name for p in folder.iterdir()} == {"state.pt", "best.pt", *["previous.pt"][:num_before]}
            assert cut > 8  # calls were cut off at all
            break
    assert outcomes == {(before, before), (before, 9), (9, 9)}


def test_a_file_that_cannot_grow_is_an_error_of_the_disk_and_the_one_before_stands(
    tmp_path: Path, tiny_spec: DataSpec
) -> None:
    """torch.save hides the system's error behind one of its own where a write is cut off in the middle."""
    path = tmp_path / "state.pt"
    checkpoint.save(path, state_of(3), tiny_spec)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in range(0, path.stat().st_size, 333):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            with pytest.raises(OSError, match=r"File too large: .*next\.pt"):
                checkpoint.save(path, state_of(9), tiny_spec)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert epoch_of(path) == 3
        assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]
