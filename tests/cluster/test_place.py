import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from genray.claim import Superseded, Turn
from genray.cluster import environment, place
from genray.cluster.place import DriverDisk, Elsewhere, SameFolder, SharedFolder, scratch
from genray.errors import Fault, UserError
from genray.storage import Disk


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("GENRAY_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def elsewhere(kept: Path) -> Elsewhere:
    return Elsewhere(Disk(kept), "sweep")


def top(place: Path) -> Path:
    """Where runs work below a place for temporary files: a folder of this user on this machine."""
    return place / f"genray-{os.getuid()}-{socket.gethostname()}"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_run_finds_what_was_kept_of_it(elsewhere: Elsewhere, kept: Path, own_scratch: Path) -> None:
    with elsewhere.open("vae/trial_0") as (path, keep):
        write(path / "metrics.jsonl", "1\n")
        keep()
        assert (kept / "sweep/vae/trial_0/metrics.jsonl").read_text() == "1\n"
        write(path / "metrics.jsonl", "1\n2\n")
    with elsewhere.open("vae/trial_0") as (other, _):
        assert other != path
        assert (other / "metrics.jsonl").read_text() == "1\n2\n"
    assert [p.name for p in top(own_scratch).iterdir()] == [".lock"]


def test_how_a_run_came_to_its_end_is_kept_and_what_a_crash_left_is_not(elsewhere: Elsewhere, kept: Path) -> None:
    def end_by(error: Exception, name: str) -> None:
        with elsewhere.open(name) as (path, _):
            write(path / "metrics.jsonl", "1\n")
            raise error

    with pytest.raises(Fault):
        end_by(Fault("the loss is not finite"), "fault")
    with pytest.raises(RuntimeError, match="CUDA"):
        end_by(RuntimeError("CUDA"), "crash")
    assert (kept / "sweep/fault/metrics.jsonl").exists()
    assert not (kept / "sweep/crash/metrics.jsonl").exists()


def test_other_ranks_read_and_do_not_write(elsewhere: Elsewhere, kept: Path) -> None:
    with elsewhere.open("run") as (path, _):
        write(path / "checkpoint/state.pt", "state")
    with elsewhere.open("run", rank=1) as (path, keep):
        assert (path / "checkpoint/state.pt").read_text() == "state"
        write(path / "mine", "")
        keep()
    assert not (kept / "sweep/run/mine").exists()


def test_a_process_that_was_cut_off_does_not_write_over_its_successor(elsewhere: Elsewhere, kept: Path) -> None:
    def be_cut_off() -> None:
        with elsewhere.open("run") as (old, _):
            write(old / "metrics.jsonl", "old\n")
            with elsewhere.open("run") as (new, _):
                write(new / "metrics.jsonl", "new\n")

    with pytest.raises(Superseded):
        be_cut_off()
    assert (kept / "sweep/run/metrics.jsonl").read_text() == "new\n"


def test_in_a_folder_of_all_machines_it_finds_out_at_its_next_checkpoint_and_at_the_end(tmp_path: Path) -> None:
    shared, first, second = SharedFolder(tmp_path), Turn("driver", 1), Turn("driver", 2)

    def be_cut_off() -> None:
        with shared.open("vae/trial_0", turn=first) as (path, keep):
            assert path == tmp_path / "vae/trial_0"
            assert not path.exists()  # a run is made in a folder that is empty
            keep()
            with shared.open("vae/trial_0", rank=1, turn=first) as (_, keep_of_other_rank):
                keep_of_other_rank()
            with shared.open("vae/trial_0", turn=second) as (_, keep_of_successor):
                with pytest.raises(Superseded):
                    keep()
                keep_of_successor()

    with pytest.raises(Superseded):
        be_cut_off()
    with pytest.raises(Superseded), shared.open("vae/trial_0", turn=first):
        pass


def test_a_replaced_run_is_renamed_where_it_is_kept(elsewhere: Elsewhere, kept: Path, tmp_path: Path) -> None:
    with elsewhere.open("vae/finalist_0") as (path, _):
        write(path / "result.json", "{}")
    elsewhere.set_aside("vae/finalist_0", "vae/replaced/finalist_0_0")
    assert (kept / "sweep/vae/replaced/finalist_0_0/result.json").exists()
    assert not (kept / "sweep/vae/finalist_0").exists()


def test_in_the_same_folder_nothing_is_sent(tmp_path: Path) -> None:
    with SameFolder(tmp_path).open("vae/trial_0") as (path, keep):
        assert path == tmp_path / "vae/trial_0"
        keep()


def full(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    real = shutil.disk_usage

    def disk_usage(path: Path) -> object:
        return SimpleNamespace(free=1 << 20) if Path(path) in folders else real(path)

    monkeypatch.setattr(place.shutil, "disk_usage", disk_usage)


def test_a_full_disk_is_passed_over(own_scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, own_scratch)
    with scratch() as folder:
        assert not folder.is_relative_to(own_scratch)


def test_no_room_anywhere_is_told_with_what_there_is(own_scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    with pytest.raises(OSError, match=f"256 MB of free disk, found 1 MB in {own_scratch}"), scratch():
        pass


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(own_scratch: Path) -> None:
    code = (
        "import time\nfrom genray.cluster.place import scratch\n"
        "with scratch() as folder:\n    folder.mkdir()\n    print(folder, flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with scratch():
            assert left.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with scratch():
        assert not left.exists()


def test_a_folder_of_somebody_else_is_not_used(own_scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all may write, another user could lay a folder of the right name, and read or change what is put there."""
    if os.getuid():
        pytest.skip("needs root, to make a folder of another user")
    top(own_scratch).mkdir()
    os.chown(top(own_scratch), 12345, 12345)
    with scratch() as folder:
        assert not folder.is_relative_to(own_scratch)


@pytest.mark.parametrize("lies", ["a link", "a link to nothing", "a file"])
def test_what_is_no_folder_is_not_used_and_what_a_link_leads_to_is_not_cleared(
    lies: str, own_scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    for name in ("photos", "scratch-of-mine"):
        write(theirs / name / "1.txt", "mine")
    before = sorted(theirs.rglob("*"))
    if lies == "a file":
        write(top(own_scratch), "")
    else:
        top(own_scratch).symlink_to(theirs if lies == "a link" else tmp_path / "nothing")
    with scratch() as folder:
        assert not folder.resolve().is_relative_to(tmp_path)
    assert sorted(theirs.rglob("*")) == before
    monkeypatch.setattr(place.tempfile, "gettempdir", lambda: str(own_scratch))
    full(monkeypatch, Path("/dev/shm"))
    with pytest.raises(OSError, match="is no folder of this user's own; free some, or name another"), scratch():
        pass


def test_only_folders_that_were_made_for_runs_are_cleared(own_scratch: Path) -> None:
    write(top(own_scratch) / "photos/1.txt", "mine")
    with scratch():
        pass
    assert (top(own_scratch) / "photos/1.txt").read_text() == "mine"


def test_machines_that_share_a_disk_do_not_clear_each_others_folders(
    own_scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks may hold on one machine alone: here they seem to be nobody's."""
    with scratch() as folder:
        write(folder / "metrics.jsonl", "1\n")
        monkeypatch.setattr(socket, "gethostname", lambda: "another")
        monkeypatch.setattr(place.files, "is_locked", lambda folder: False)
        with scratch() as other:
            assert other.is_relative_to(own_scratch)
            assert (folder / "metrics.jsonl").read_text() == "1\n"


def test_scratch_refusal_is_one_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the run goes to another machine, and is not counted as failed."""
    monkeypatch.setattr(place.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(OSError) as error, scratch():  # noqa: PT011  the words are tested above
        pass
    assert not isinstance(error.value, UserError)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray warns of itself
def test_an_error_of_the_drivers_disk_is_told_as_its_own(tmp_path: Path) -> None:
    """With its number, by which a full disk is known: Ray's errors have none."""
    environment.prepare(None)
    from genray.cluster import resources

    with resources.connected(None, data_bytes=0, verbose=False):
        disk = DriverDisk(tmp_path)
        disk.write("runs/a", b"1")
        assert disk.read("runs/a") == b"1"
        with pytest.raises(FileNotFoundError, match="No such file"):
            disk.read("runs/b")
        with pytest.raises(OSError, match="File name too long") as error:
            disk.write("runs/" + 300 * "b", b"1")
    assert error.value.errno == errno.ENAMETOOLONG
    assert "\n" not in str(error.value)
