import subprocess
import time
from pathlib import Path

import pytest

from genray.cluster.remote.head import Head, Unreachable
from genray.errors import Fault, UserError
from tests.cluster.remote.conftest import Laptop, needs_rsync, says


def test_commands_run_on_the_head_and_ask_nothing(head: Head, laptop: Laptop) -> None:
    assert head.run("echo $HOME").strip() == str(laptop.head)
    assert "-i key" in laptop.calls[0]
    assert "BatchMode=yes" in laptop.calls[0]
    with pytest.raises(Fault, match="on the head, `echo no >&2; exit 3` failed: no"):
        head.run("echo no >&2; exit 3")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ada@10.0.0.2: Permission denied (publickey).", "refuses the key key (Permission denied); mend auth.ssh_user"),
        ("ssh: connect to host 10.0.0.2 port 22: Connection timed out", "is the cluster up (`ray up cluster.yaml`)"),
        ("ssh: connect to host 10.0.0.2 port 22: No route to host", "does not answer over SSH"),
        ("ssh: Could not resolve hostname lab: Name or service not known", "mend the head's address in cluster.yaml"),
        ("ssh: Could not resolve hostname lab: Temporary failure in name resolution", "is known by the name 10.0.0.2"),
        ("ssh: connect to host 10.0.0.2 port 22: Host is down", "does not answer over SSH"),
        ("ssh: connect to host 10.0.0.2 port 22: Undefined error: 0", "does not answer over SSH"),
        ("Host key verification failed.", "`ssh-keygen -R 10.0.0.2 -f "),
        ("something new", "ssh ada@10.0.0.2 failed: something new"),
    ],
)
def test_what_ssh_says_becomes_one_line_with_the_fix(said: str, words: str, head: Head, laptop: Laptop) -> None:
    laptop.broken.write_text(said)
    for use in (lambda: head.run("true"), lambda: head.tunnel().__enter__()):
        with pytest.raises(UserError) as caught:
            use()
        assert words in str(caught.value)
        may_come_back = "connect to host" in said or "resolve" in said  # a network that changes
        assert isinstance(caught.value, Unreachable) == may_come_back


def test_a_host_that_never_answers_is_given_up(head: Head, laptop: Laptop) -> None:
    laptop.add_tool("ssh", "exec sleep 60")
    with pytest.raises(Unreachable, match="did not answer within 1 s"):
        head.run("true", timeout_s=1)


def test_link_ends_what_it_started(head: Head) -> None:
    with head.linked({}, "while :; do echo $$; sleep 0.1; done") as link:
        while not link.newest:
            link.check()
        pid = int(link.newest)
    end = time.monotonic() + 30
    while not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        if subprocess.run(["kill", "-0", str(pid)], stderr=subprocess.DEVNULL).returncode:
            break
        assert time.monotonic() < end, "the command outlived its connection"
        time.sleep(0.1)


def test_files_that_vanish_while_they_are_fetched_are_no_fault(head: Head, laptop: Laptop, tmp_path: Path) -> None:
    """A sweep that goes on renames what it writes."""
    laptop.add_tool("rsync", "echo 'file has vanished: .samples.png.x.half' >&2; exit 24")
    head.fetch("~/genray-runs/mine", tmp_path / "here")
    laptop.add_tool("rsync", "echo 'some files could not be read' >&2; exit 23")
    with pytest.raises(Fault, match="could not be read"):
        head.fetch("~/genray-runs/mine", tmp_path / "here")


@needs_rsync
def test_fetch_brings_files_and_leaves_what_is_excluded(head: Head, laptop: Laptop, tmp_path: Path) -> None:
    for name in ("a/x.json", "a/checkpoint/state.pt", "b c/y.json"):
        (laptop.head / "genray-runs/quick" / name).parent.mkdir(parents=True, exist_ok=True)
        (laptop.head / "genray-runs/quick" / name).write_text(name)
    head.fetch("~/genray-runs/quick", tmp_path / "out", exclude=["checkpoint/"])
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["x.json", "y.json"]
    with pytest.raises(Fault, match="rsync could not fetch ~/genray-runs/none"):
        head.fetch("~/genray-runs/none", tmp_path / "none")


def test_tools_that_are_missing_are_named(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(laptop.path))
    line = says(capsys, 2, "cluster", "jobs", laptop.cluster())
    assert (
        line == "genray: ssh is not on this machine; install it (Debian, Ubuntu: apt-get install openssh-client rsync)"
    )


def test_a_key_that_is_not_there_is_named(laptop: Laptop, capsys: pytest.CaptureFixture[str]) -> None:
    line = says(capsys, 2, "cluster", "jobs", laptop.cluster(auth={"ssh_user": "ada", "ssh_private_key": "~/none"}))
    assert "auth.ssh_private_key: there is no key ~/none on this machine" in line
    assert "auth.ssh_user is missing" in says(capsys, 2, "cluster", "jobs", laptop.cluster(auth={}))


def test_a_head_without_ray_is_told_from_one_that_does_not_answer(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Ray does not answer on the head" in says(capsys, 2, "cluster", "jobs", laptop.cluster(port=1))
