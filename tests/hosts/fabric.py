"""Several hosts on one machine: namespaces on a bridge, each with its own network, processes, home, /tmp and sshd.

    with Fabric(3) as fabric:
        fabric.laptop.run("ssh", *fabric.ssh_options, "root@h1", "hostname")

The hosts reach each other and the laptop, and nothing else; nothing outside reaches them, and two fabrics beside each
other do not meet. They see this machine's file system, except for what `machine.sh` makes their own.
Needs root, iproute2, util-linux, OpenSSH and rsync: `why_not` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = Path(sys.prefix)

_TOOLS = ("unshare", "nsenter", "setpriv", "ip", "ssh", "sshd", "ssh-keygen", "rsync")
_NAMESPACES = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SSHD = """\
Port 22
HostKey {dir}/host_key
AuthorizedKeysFile {dir}/key.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
UseDNS no
PidFile none
MaxStartups 100
"""

Result = subprocess.CompletedProcess[str]


class Host:
    """A machine of the fabric; `pid` is its first process, as seen from outside."""

    def __init__(self, fabric: Fabric, name: str, address: str) -> None:
        self.fabric, self.name, self.address = fabric, name, address
        self.port = f"to-{name}"
        self.pid = 0

    def run(
        self,
        *command: str | Path,
        check: bool = True,
        timeout: float = 60,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """A command as root with an environment of its own, by `nsenter`: also while the network is cut."""
        result = subprocess.run(
            self.command(*command, cwd=cwd, env=env), capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and result.returncode:
            words = " ".join(map(str, command))
            raise AssertionError(f"{self.name}: {words}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def command(self, *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> list[str]:
        """What `run` runs, for a `Popen` of one's own."""
        home = self.fabric.home
        variables = {"HOME": str(home), "USER": "root", "PATH": _PATH, "LANG": "C.UTF-8", **(env or {})}
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--uts", "--ipc", "--pid"]
        chdir = ["env", "-i", f"--chdir={cwd or home}", *(f"{key}={value}" for key, value in variables.items())]
        return [*enter, *chdir, *map(str, command)]

    def processes(self, name: str = "") -> list[psutil.Process]:
        """The processes of this machine, or those of this name."""
        namespace, found = os.readlink(f"/proc/{self.pid}/ns/pid"), []
        for pid in psutil.pids():
            try:
                process = psutil.Process(pid)
                if os.readlink(f"/proc/{pid}/ns/pid") == namespace and name in ("", process.name()):
                    found.append(process)
            except (OSError, psutil.NoSuchProcess):
                continue
        return found

    def command_lines(self) -> list[str]:
        lines = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline()))
        return lines

    def kill(self, name: str) -> int:
        """SIGKILL to each process of this name; returns how many there were."""
        found = self.processes(name)
        for process in found:
            process.kill()
        return len(found)

    def cut(self) -> None:
        """Loses every packet to and from this machine, without a word: a plug pulled further up."""
        self.fabric.ip("link", "set", "dev", self.port, "nomaster")

    def restore(self) -> None:
        self.fabric.ip("link", "set", "dev", self.port, "master", "br0")

    def fill_disk(self, leave_mb: int = 0) -> None:
        """Fills the disk, on which home and /tmp lie."""
        self.run("dd", "if=/dev/zero", "of=ballast", "bs=1M", check=False)  # ends when there is no space left
        if leave_mb:
            self.run("truncate", f"--size=-{leave_mb}M", "ballast")
        else:
            self.run("dd", "if=/dev/zero", "of=ballast.rest", "bs=4k", check=False)

    def free_disk(self) -> None:
        self.run("rm", "-f", "ballast", "ballast.rest")


class Fabric:
    """`laptop`, and hosts `h1` … `hN` that `ssh -i key root@ADDRESS` reaches from it and from each other's network."""

    def __init__(self, num_hosts: int, *, disk: str = "4g", bashrc: str = "") -> None:
        self.num_hosts, self.disk, self.bashrc = num_hosts, disk, bashrc
        self.laptop = Host(self, "laptop", "10.77.0.1")
        self.hosts = [Host(self, f"h{i}", f"10.77.0.{i + 1}") for i in range(1, num_hosts + 1)]
        self.unused_address = "10.77.0.250"
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Fabric:
        self.dir = Path(tempfile.mkdtemp(prefix="genray-hosts-"))
        try:
            self._write_files()
            for host in self.machines:
                self._boot(host)
            for host in self.machines:
                self._wait_for(host)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def machines(self) -> list[Host]:
        return [self.laptop, *self.hosts]

    @property
    def home(self) -> Path:
        """Root's home, at the same path on each machine; each has its own."""
        return self.dir / "home"

    @property
    def shared(self) -> Path:
        """A folder that is the same on all machines and outside."""
        return self.dir / "shared"

    @property
    def key(self) -> Path:
        return self.dir / "key"

    @property
    def wrong_key(self) -> Path:
        """A key that no host knows."""
        return self.dir / "wrong_key"

    @property
    def ssh_options(self) -> list[str]:
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
        return ["-i", str(self.key), *(f"-o{option}" for option in options)]

    def close(self) -> None:
        """Ends every process of every machine; what they had on disk was in memory and goes with them."""
        for process in self._started:
            process.kill()  # and `unshare --kill-child` with it the machine's first process, and with that all of them
        for process in self._started:
            process.wait()
        wait_until(lambda: not any(psutil.pid_exists(host.pid) for host in self.machines if host.pid))
        shutil.rmtree(self.dir, ignore_errors=True)

    def ip(self, *words: str) -> None:
        """`ip` in the laptop's network, with process ids as seen from outside."""
        _check(["nsenter", f"--target={self.laptop.pid}", "--net", "ip", *words])

    def _write_files(self) -> None:
        for folder in ("home", "disk", "up", "logs", "shared"):
            (self.dir / folder).mkdir()
        for key in ("key", "wrong_key", "host_key"):
            _check(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.dir / key)])
        names = "".join(f"{host.address} {host.name}\n" for host in self.machines)
        (self.dir / "etc_hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{names}")
        (self.dir / "sshd_config").write_text(_SSHD.format(dir=self.dir))
        (self.dir / "bashrc").write_text(self.bashrc)

    def _boot(self, host: Host) -> None:
        is_laptop = host is self.laptop
        hidden = [] if is_laptop else ["--", str(ROOT)]
        shown = [str(ROOT)] * is_laptop + [str(ENVIRONMENT), os.path.realpath(sys.base_prefix)]
        machine = [str(Path(__file__).with_name("machine.sh")), host.name, str(self.dir), self.disk, *shown, *hidden]
        with (self.dir / "logs" / f"{host.name}.boot").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "unshare", *_NAMESPACES, *machine],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": _PATH},
                cwd="/",
            )
        self._started.append(process)
        up = self.dir / "up" / host.name
        wait_until(lambda: up.exists() or process.poll() is not None, every_s=0.02)
        if process.poll() is not None:
            raise RuntimeError(f"{host.name} did not start: {self._boot_log(host)}")
        [child] = psutil.Process(process.pid).children()
        host.pid = child.pid
        self._plug_in(host)

    def _plug_in(self, host: Host) -> None:
        if host is self.laptop:
            self.ip("link", "add", "br0", "type", "bridge")
            self.ip("address", "add", f"{host.address}/24", "dev", "br0")
            self.ip("link", "set", "br0", "up")
            return
        self.ip("link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
        self.ip("link", "set", host.port, "master", "br0", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")

    def _wait_for(self, host: Host) -> None:
        ssh = ["ssh", *self.ssh_options, f"root@{host.address}", "true"]
        try:
            wait_until(lambda: self.laptop.run(*ssh, check=False).returncode == 0, timeout_s=30)
        except TimeoutError:
            raise RuntimeError(f"{host.name}: sshd does not answer: {self._boot_log(host)}") from None

    def _boot_log(self, host: Host) -> str:
        logs = [self.dir / "logs" / f"{host.name}.boot", self.dir / "logs" / host.name]
        return "".join(log.read_text() for log in logs if log.exists())


def wait_until(true: Callable[[], bool], *, timeout_s: float = 30, every_s: float = 0.1) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s")
        time.sleep(every_s)


def why_not() -> str | None:
    """Why hosts cannot be made here; None where they can."""
    if sys.platform != "linux":
        return "hosts are made of Linux namespaces"
    if os.geteuid() != 0:
        return "hosts need root, for network namespaces"
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_PATH) is None]
    if missing:
        return f"hosts need {', '.join(missing)} (the README's line of packages)"
    probe = ["unshare", *_NAMESPACES, "ip", "link", "add", "br0", "type", "bridge"]
    result = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"no namespaces or bridges here: {result.stderr.strip()}" if result.returncode else None


def _check(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stdout}{result.stderr}")
