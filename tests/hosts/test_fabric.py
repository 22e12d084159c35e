"""The hosts themselves: that they are apart, that faults are as they say, and that nothing is left."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.hosts.fabric import ENVIRONMENT, ROOT, Fabric, Host, wait_until, why_not

pytestmark = [pytest.mark.hosts, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric(2, disk="64m") as fabric:
        yield fabric


def answers(fabric: Fabric, host: Host, *options: str, user: str = "root") -> bool:
    ssh = ["ssh", *options, *fabric.ssh_options, "-oConnectTimeout=2", f"{user}@{host.address}"]
    return fabric.laptop.run(*ssh, "true", check=False).returncode == 0


def test_hosts_have_files_processes_and_names_of_their_own(fabric: Fabric, tmp_path: Path) -> None:
    for host in fabric.machines:
        assert host.run("hostname").stdout.strip() == host.name
        host.run("sh", "-c", "for place in ~ /tmp /var/tmp /run /dev/shm; do hostname >$place/own; done")
    for host in fabric.machines:
        names = host.run("sh", "-c", "cat ~/own /tmp/own /dev/shm/own; ls /tmp").stdout.split()
        assert not {other.name for other in fabric.machines if other is not host} & set(names)
        assert host.run("test", "-e", tmp_path, check=False).returncode != 0  # of this machine's /tmp, nothing
    with subprocess.Popen(fabric.hosts[0].command("sleep", "1000")) as sleeper:
        try:
            wait_until(lambda: len(fabric.hosts[0].processes("sleep")) == 1)
            assert not fabric.hosts[1].processes("sleep")
            assert fabric.hosts[0].kill("sleep") == 1
            assert sleeper.wait(timeout=10) != 0
        finally:
            sleeper.kill()


def test_hosts_have_the_environment_and_not_the_checkout(fabric: Fabric) -> None:
    [host, _] = fabric.hosts
    assert host.run("test", "-e", ROOT / "pyproject.toml", check=False).returncode != 0
    assert fabric.laptop.run("test", "-e", ROOT / "pyproject.toml").returncode == 0
    version = f"{ENVIRONMENT}/bin/python -c 'import ray; print(ray.__version__)'"
    over_ssh = fabric.laptop.run("ssh", *fabric.ssh_options, f"root@{host.address}", f"cd; pwd; {version}")
    assert over_ssh.stdout.split()[0] == str(fabric.home)
    assert over_ssh.stdout.split()[1].startswith("2.")


def test_hosts_reach_each_other_and_nothing_else(fabric: Fabric) -> None:
    [first, second] = fabric.hosts
    knock = "exec 3<>/dev/tcp/{}/22 && head -c 3 <&3"
    assert first.run("bash", "-c", knock.format(second.name)).stdout == "SSH"
    routes = first.run("ip", "-oneline", "route").stdout.splitlines()
    assert len(routes) == 1
    assert routes[0].startswith("10.77.0.0/24 dev eth0")
    mine = {address for pair in psutil.net_if_addrs().values() for address in (a.address for a in pair)}
    assert not mine & {host.address for host in fabric.machines}


def test_keys_and_users_that_are_refused(fabric: Fabric) -> None:
    [first, _] = fabric.hosts
    assert answers(fabric, first)
    assert not answers(fabric, first, user="nobody-here")
    wrong = [option if option != str(fabric.key) else str(fabric.wrong_key) for option in fabric.ssh_options]
    refused = fabric.laptop.run("ssh", *wrong, f"root@{first.address}", "true", check=False)
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_network_is_cut_and_restored(fabric: Fabric) -> None:
    [first, second] = fabric.hosts
    second.cut()
    assert not answers(fabric, second)
    assert answers(fabric, first)
    assert second.run("hostname").stdout.strip() == "h2"  # reached while its network is not
    second.restore()
    assert answers(fabric, second)


def test_disk_is_filled_and_freed(fabric: Fabric) -> None:
    [first, second] = fabric.hosts
    first.fill_disk()
    full = first.run("dd", "if=/dev/zero", "of=/tmp/more", "bs=1M", "count=1", check=False)
    assert "No space left" in full.stderr
    second.run("dd", "if=/dev/zero", "of=/tmp/more", "bs=1M", "count=1")
    first.free_disk()
    first.run("dd", "if=/dev/zero", "of=/tmp/more", "bs=1M", "count=1")


def test_two_fabrics_do_not_meet_and_leave_nothing(fabric: Fabric) -> None:
    with Fabric(1) as other:
        assert other.hosts[0].address == fabric.hosts[0].address
        other.hosts[0].run("touch", "only-here")
        assert "only-here" not in fabric.hosts[0].run("ls").stdout
        pids, folder = [host.pid for host in other.machines], other.dir
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not folder.exists()
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    assert answers(fabric, fabric.hosts[0])
