import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genray import files
from genray.claim import Claim
from genray.cluster import mirror
from genray.errors import Fault, UserError
from genray.storage import Bucket
from tests.s3 import s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server: str, tmp_path: Path) -> Bucket:
    return Bucket(server.replace("/runs?", f"/{tmp_path.name}?"))


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def test_the_sweeps_own_files_go_there_and_the_runs_files_come_here(
    bucket: Bucket, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "EVERY_S", 0.05)
    files.write_text(out / "sweep.yaml", "name: mine\n")
    came = threading.Event()
    with mirror.mirrored(out, bucket, {}):
        for name in ("trial_0000", "finalist_0"):
            for file in ("metrics.jsonl", "checkpoint/state.pt"):
                bucket.write(f"mine/vae/{name}/{file}", b"1\n")
        while not (out / "vae/finalist_0/checkpoint/state.pt").exists():
            came.wait(0.01)
        files.write_text(out / "study.journal", "line\n")
    assert bucket.read("mine/sweep.yaml") == b"name: mine\n"
    assert bucket.read("mine/study.journal") == b"line\n"
    assert (out / "vae/trial_0000/metrics.jsonl").read_bytes() == b"1\n"
    assert not (out / "vae/trial_0000/checkpoint").exists(), "trials' checkpoints stay where the runs find them"

    other = tmp_path / "another_machine" / "mine"
    mirror.fetch(other, bucket)
    assert (other / "study.journal").read_text() == "line\n"
    assert (other / "vae/trial_0000/metrics.jsonl").exists()


def test_the_two_are_level_at_once_where_that_is_asked_for(bucket: Bucket, out: Path) -> None:
    """As before the comparison: the last finalist may have ended since the last look."""
    files.write_text(out / "sweep.yaml", "name: mine\n")
    with mirror.mirrored(out, bucket, {}) as kept:
        assert kept is not None
        bucket.write("mine/vae/finalist_0/result.json", b"{}")
        kept.level()
        assert (out / "vae/finalist_0/result.json").exists()
        assert bucket.read("mine/sweep.yaml") == b"name: mine\n"


def test_what_the_driver_knew_last_is_not_lost(bucket: Bucket, out: Path) -> None:
    """It is sent every few seconds: a driver that was killed knows more than the bucket."""
    bucket.write("mine/sweep.yaml", b"name: mine\n")
    bucket.write("mine/study.journal", b"1\n2\n")
    files.write_text(out / "study.journal", "1\n2\n3\n")
    mirror.fetch(out, bucket)
    assert (out / "study.journal").read_text() == "1\n2\n3\n"
    files.write_text(out / "study.journal", "1\n")
    mirror.fetch(out, bucket)
    assert (out / "study.journal").read_text() == "1\n2\n"


def test_another_sweep_of_that_name_is_refused(bucket: Bucket, out: Path) -> None:
    bucket.write("mine/sweep.yaml", b"name: mine\n")
    bucket.write("mine/study.journal", b"1\n2\n")
    files.write_text(out / "study.journal", "other\n2\n")
    with pytest.raises(UserError, match="different sweeps"):
        mirror.fetch(out, bucket)


def test_a_sweep_that_went_on_elsewhere_before_the_last_lines_were_sent_is_named(bucket: Bucket, out: Path) -> None:
    bucket.write("mine/sweep.yaml", b"name: mine\n")
    bucket.write("mine/study.journal", b"1\n2\ntheirs\n")
    files.write_text(out / "study.journal", "1\n2\nmine\n")
    with pytest.raises(UserError, match=r"went on elsewhere .*; move that file away, and the same command goes on"):
        mirror.fetch(out, bucket)
    (out / "study.journal").unlink()
    mirror.fetch(out, bucket)
    assert (out / "study.journal").read_text() == "1\n2\ntheirs\n"


def test_a_run_that_was_replaced_elsewhere_does_not_mix_with_the_new_one(bucket: Bucket, out: Path) -> None:
    """Its result would count as the new one's."""
    bucket.write("mine/sweep.yaml", b"name: mine\n")
    for name in ("finalist_0", "finalist_1"):
        files.write_text(out / f"vae/{name}/experiment.yaml", "hidden: 19\n")
        files.write_text(out / f"vae/{name}/result.json", f'"of {name}"')
    bucket.write("mine/vae/finalist_0/experiment.yaml", b"hidden: 64\n")
    bucket.write("mine/vae/replaced/finalist_0_0/experiment.yaml", b"hidden: 19\n")
    bucket.write("mine/vae/finalist_1/experiment.yaml", b"hidden: 19\n")
    mirror.fetch(out, bucket)
    assert (out / "vae/finalist_0/experiment.yaml").read_text() == "hidden: 64\n"
    assert not (out / "vae/finalist_0/result.json").exists()
    assert (out / "vae/replaced/finalist_0_0/result.json").read_text() == '"of finalist_0"'
    assert (out / "vae/finalist_1/result.json").read_text() == '"of finalist_1"'


def test_what_was_fetched_is_not_fetched_again(bucket: Bucket, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.write("mine/sweep.yaml", b"name: mine\n")
    bucket.write("mine/vae/trial_0000/metrics.jsonl", b"1\n")
    seen, read = mirror.fetch(out, bucket), list[str]()
    with mirror.mirrored(out, bucket, seen) as kept:
        assert kept is not None
        before = Bucket.read
        monkeypatch.setattr(Bucket, "read", lambda self, name: read.append(name) or before(self, name))
        bucket.write("mine/vae/trial_0001/metrics.jsonl", b"1\n")
        kept.level()
    assert [name for name in read if "metrics" in name] == ["mine/vae/trial_0001/metrics.jsonl"]


def test_nothing_is_fetched_under_a_sweep_that_runs_here(bucket: Bucket, out: Path) -> None:
    out.mkdir()
    with files.locked(out, "sweep"), pytest.raises(UserError, match="in use"):
        mirror.fetch(out, bucket)


def test_a_driver_whose_sweep_was_taken_over_ends(bucket: Bucket, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "EVERY_S", 0.05)
    files.write_text(out / "study.journal", "mine\n")

    def be_superseded() -> None:
        with mirror.mirrored(out, bucket, {}) as kept:
            assert kept is not None
            assert not kept.taken_over
            Claim(bucket, "mine")
            bucket.write("mine/study.journal", b"theirs\n")
            wait_until(lambda: bool(kept.taken_over))  # long before its end
            assert "works on this now" in kept.taken_over

    with pytest.raises(Fault, match="works on this now"):
        be_superseded()
    assert bucket.read("mine/study.journal") == b"theirs\n"


def test_a_storage_that_is_away_for_a_while_is_kept_level_again(
    bucket: Bucket, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "EVERY_S", 0.05)
    files.write_text(out / "study.journal", "1\n")
    refused = []

    def away(self: Bucket, name: str, content: bytes) -> None:
        refused.append(name)
        raise PermissionError(errno.EACCES, "credentials have run out")

    with mirror.mirrored(out, bucket, {}):
        with monkeypatch.context() as patched:
            patched.setattr(Bucket, "write", away)
            files.write_text(out / "study.journal", "1\n2\n")
            wait_until(lambda: refused.count("mine/study.journal") > 1)
        wait_until(lambda: "study.journal" in bucket.list("mine"))
        wait_until(lambda: bucket.read("mine/study.journal") != b"1\n")
        assert bucket.read("mine/study.journal") == b"1\n2\n", "before the end, which sends everything anyway"


@pytest.mark.parametrize("storage", ["/mnt/shared", "s3:bucket", "Shared"])
def test_what_is_no_storage_is_refused(storage: str) -> None:
    with pytest.raises(UserError, match="--storage takes a URL"):
        mirror.bucket_of(storage)


def test_a_storage_that_does_not_answer_or_refuses_is_told_at_once(server: str, out: Path) -> None:
    gone = Bucket("s3://bucket/runs?scheme=http&endpoint_override=127.0.0.1:9")
    for bucket in (gone, Bucket(server.replace("s3://bucket-", "s3://absent-"))):
        with pytest.raises(UserError, match="must be readable and writable from here"):
            mirror.fetch(out, bucket)
    assert not out.exists()
