import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from genray import storage
from genray.config import Experiment
from genray.errors import UserError
from genray.runs import create_run
from genray.storage import Bucket, Disk, Stamp, Storage, patiently, pull, push
from tests.s3 import s3_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["disk", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each kind of storage must do the same."""
    if request.param == "disk":
        return Disk(tmp_path / "kept")
    url: str = request.getfixturevalue("url")
    return Bucket(url.replace("/runs?", f"/{tmp_path.name}?"))


def test_what_is_written_is_read_listed_and_moved(kept: Storage) -> None:
    assert kept.list("vae/trial_0") == {}
    with pytest.raises(FileNotFoundError):
        kept.read("vae/trial_0/metrics.jsonl")
    kept.write("vae/trial_0/metrics.jsonl", b"one")
    kept.write("vae/trial_0/checkpoint/state.pt", bytes(3_000_000))
    kept.write("vae/trial_0/.owner", b"hidden")
    kept.write("vae/trial_00/metrics.jsonl", b"another run whose name begins alike")
    assert {name: stamp.size for name, stamp in kept.list("vae/trial_0").items()} == {
        "metrics.jsonl": 3,
        "checkpoint/state.pt": 3_000_000,
    }
    kept.write("vae/trial_0/metrics.jsonl", b"other")
    assert kept.read("vae/trial_0/metrics.jsonl") == b"other"
    kept.move("vae/trial_0", "vae/replaced/trial_0_0")
    assert kept.list("vae/trial_0") == {}
    assert set(kept.list("vae")) == {
        "replaced/trial_0_0/metrics.jsonl",
        "replaced/trial_0_0/checkpoint/state.pt",
        "trial_00/metrics.jsonl",
    }
    kept.move("vae/absent", "vae/elsewhere")
    assert kept.list("vae/elsewhere") == {}


def test_what_is_renamed_while_it_is_fetched_is_passed_over(
    kept: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        kept.write(f"vae/{name}/metrics.jsonl", b"one")

    def listed(folder: str) -> dict[str, Stamp]:
        monkeypatch.undo()
        there = kept.list(folder)
        kept.move("vae/a", "vae/replaced/a_0")
        return there

    monkeypatch.setattr(kept, "list", listed)
    seen = pull(kept, "vae", tmp_path / "here", {})
    assert list(seen) == ["b/metrics.jsonl"]
    assert set(pull(kept, "vae", tmp_path / "here", seen)) == {"b/metrics.jsonl", "replaced/a_0/metrics.jsonl"}
    assert (tmp_path / "here/replaced/a_0/metrics.jsonl").read_bytes() == b"one"


def test_a_folder_is_sent_and_comes_back(kept: Storage, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    contents = {"experiment.yaml": b"seed: 0", "checkpoint/state.pt": b"\x00\xff", "empty": b""}
    for name, content in contents.items():
        storage.files.write_bytes(here / name, content)
    push(here, kept, "run", {})
    pull(kept, "run", there, {})
    assert {p.relative_to(there).as_posix(): p.read_bytes() for p in there.rglob("*") if p.is_file()} == contents


class Recorder(Disk):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written: list[str] = []
        self.was_read: list[str] = []

    def write(self, name: str, content: bytes) -> None:
        self.written.append(name)
        super().write(name, content)

    def read(self, name: str) -> bytes:
        self.was_read.append(name)
        return super().read(name)


def test_only_what_changed_is_sent_and_fetched(tmp_path: Path) -> None:
    kept, here, there = Recorder(tmp_path / "kept"), tmp_path / "here", tmp_path / "there"
    for name in ("a", "b"):
        storage.files.write_text(here / name, name)
    sent = push(here, kept, "run", {})
    seen = pull(kept, "run", there, {})
    kept.written.clear()
    kept.was_read.clear()
    storage.files.write_text(here / "b", "more")
    push(here, kept, "run", sent)
    pull(kept, "run", there, seen)
    assert (kept.written, kept.was_read) == (["run/b"], ["run/b"])
    assert (there / "b").read_text() == "more"


class Dying(Disk):
    """Its process is killed after so many writes."""

    def __init__(self, path: Path, writes: int) -> None:
        super().__init__(path)
        self.left = writes

    def write(self, name: str, content: bytes) -> None:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        super().write(name, content)


@pytest.mark.parametrize("writes", range(6))
def test_a_run_that_is_killed_while_it_is_sent_can_be_gone_on_with(writes: int, tmp_path: Path) -> None:
    kept, here, there = Dying(tmp_path / "kept", writes), tmp_path / "here", tmp_path / "there"
    experiment = Experiment.parse({"model": {"name": "vae"}, "dataset": "digits"})
    create_run(here, experiment)
    for name in ("codes.png", "metrics.jsonl", "events.1", "checkpoint/state.pt", "result.json"):
        storage.files.write_text(here / name, name)
    with pytest.raises(KeyboardInterrupt):
        push(here, kept, "run", {})
    pull(kept, "run", there, {})
    assert create_run(there, experiment, resume=True).experiment == experiment


def test_rows_are_sent_before_the_checkpoint_and_the_result_last(tmp_path: Path) -> None:
    kept, here = Recorder(tmp_path / "kept"), tmp_path / "here"
    for name in ("result.json", "checkpoint/state.pt", "samples.png", "metrics.jsonl", "experiment.yaml"):
        storage.files.write_text(here / name, name)
    push(here, kept, "run", {})
    assert kept.written[-2:] == ["run/checkpoint/state.pt", "run/result.json"]


def test_files_that_are_being_written_are_not_sent(tmp_path: Path) -> None:
    kept, here = Recorder(tmp_path / "kept"), tmp_path / "here"
    storage.files.write_text(here / ".metrics.jsonl.abc", "half")
    assert push(here, kept, "run", {}) == {}


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)


def failing(times: int, error: OSError) -> tuple[list[int], object]:
    tried: list[int] = []

    def action() -> str:
        tried.append(1)
        if len(tried) <= times:
            raise error
        return "done"

    return tried, action


def test_a_lost_network_is_waited_for(no_pauses: None) -> None:
    _, action = failing(3, OSError("When listing objects: curlCode: 7, Couldn't connect to server"))
    assert patiently(action) == "done"


def test_but_not_for_ever(no_pauses: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PATIENCE_S", -1.0)
    _, action = failing(3, OSError("Couldn't connect"))
    with pytest.raises(OSError, match="connect"):
        patiently(action)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), FileNotFoundError("gone"), PermissionError("no")])
def test_what_waiting_does_not_mend_is_told_at_once(no_pauses: None, error: OSError) -> None:
    tried, action = failing(3, error)
    with pytest.raises(type(error)):
        patiently(action)
    assert len(tried) == 1


@pytest.mark.parametrize("url", ["s3:/bucket", "ftp://host/folder", "s3://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="--storage takes a URL"):
        Bucket(url)
