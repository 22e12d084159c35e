"""Two processes that both believe a run to be theirs: in every order in which they may come, one of them goes on."""

from itertools import permutations
from pathlib import Path

import pytest

from genray.claim import Claim, Superseded, Turn
from genray.storage import Bucket, Disk, Storage
from tests.s3 import s3_server

FIRST, SECOND, THIRD = (Turn("driver", number) for number in (9, 10, 11))


def owns(claim: Claim | None) -> bool:
    if claim is None:
        return False
    try:
        claim.check()
    except Superseded:
        return False
    return True


def claimed(storage: Storage, turn: Turn | None) -> Claim | None:
    try:
        return Claim(storage, "run", turn)
    except Superseded:
        return None


@pytest.mark.parametrize("turns", [*permutations([FIRST, SECOND, THIRD])])
def test_the_last_to_whom_it_was_given_has_it_however_late_others_come(tmp_path: Path, turns: tuple[Turn, ...]) -> None:
    claims = {turn: claimed(Disk(tmp_path), turn) for turn in turns}
    assert [turn for turn, claim in claims.items() if owns(claim)] == [THIRD]


def test_one_that_read_the_mark_before_a_later_one_wrote_it_does_not_keep_it(tmp_path: Path) -> None:
    class Slow(Disk):
        """Between what is read and what is written, a process of a later turn comes."""

        def write(self, name: str, content: bytes) -> None:
            later.append(Claim(Disk(tmp_path), "run", SECOND))
            super().write(name, content)

    later: list[Claim] = []
    earlier = Claim(Slow(tmp_path), "run", FIRST)
    assert owns(later[0])
    assert not owns(earlier)


@pytest.mark.parametrize("turns", [(None, None), (SECOND, Turn("another driver", 1)), (SECOND, None), (None, FIRST)])
def test_of_several_givers_the_last_comer_has_it(tmp_path: Path, turns: tuple[Turn | None, Turn | None]) -> None:
    """A driver that goes on with a sweep begins to count anew."""
    first, second = (claimed(Disk(tmp_path), turn) for turn in turns)
    assert owns(second)
    assert not owns(first)


def test_in_object_storage_too(tmp_path: Path) -> None:
    with s3_server() as url:
        bucket = Bucket(url.replace("/runs?", f"/{tmp_path.name}?"))
        second = Claim(bucket, "run", SECOND)
        with pytest.raises(Superseded, match="works on this now"):
            Claim(bucket, "run", FIRST)
        assert owns(second)


def test_what_is_no_mark_is_taken_over(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    for content in (b"", b"\xff\n\n", b"who\ndriver\nnot a number"):
        disk.write("run/.owner", content)
        assert owns(Claim(disk, "run", FIRST))
