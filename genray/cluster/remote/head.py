"""The cluster's head, as plain `ssh` and `rsync` reach it."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from genray.errors import Fault, UserError

CONNECT_S = 10
VANISHED = 24  # the exit code of rsync where a running sweep has renamed a file meanwhile
SSH_FAILED = 255  # the exit code of ssh itself; others are the command's
PYTHON = "~/genray/.venv/bin/python"
_KNOWN_HOSTS = "~/.ray/genray_known_hosts"  # those of `~/.ssh` would not fit a machine that comes with a used address
_GONE = (
    *("timed out", "No route", "refused", "unreachable", "closed", "Connection reset", "Broken pipe", "Timeout"),
    *("is down", "Can't assign requested address", "Undefined error"),  # macOS, after a sleep
)


class Unreachable(UserError):
    """No answer at this moment. Who has had one before may try again."""


@dataclass(frozen=True)
class Head:
    user: str
    ip: str
    yaml: str  # of the cluster, as the user named it
    key: str | None = None
    proxy_command: str | None = None
    dashboard_port: int = 8265

    @property
    def target(self) -> str:
        return f"{self.user}@{self.ip}"

    @property
    def ssh(self) -> list[str]:
        """Asks nothing, and notices within 15 s that the other end is gone."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(Path(_KNOWN_HOSTS).expanduser()),
            "LogLevel": "ERROR",
        }
        if self.proxy_command:
            options["ProxyCommand"] = self.proxy_command
        if self.key:
            options["IdentitiesOnly"] = "yes"
        key = ["-i", self.key] if self.key else []
        return [tool("ssh"), *key, *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]

    def run(self, command: str, *, timeout_s: float = 60) -> str:
        """What a shell command on the head prints."""
        try:
            done = subprocess.run(
                [*self.ssh, self.target, command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise self.silent(timeout_s) from None
        if done.returncode == SSH_FAILED:
            raise self.failure(done.stderr)
        if done.returncode:
            raise Fault(f"on the head, `{command}` failed: {last_line(done.stderr) or f'code {done.returncode}'}")
        return done.stdout

    def show(self, command: str) -> int:
        """Runs a command on the head whose output goes to the terminal as it comes. Returns its exit code."""
        done = subprocess.run(
            [*self.ssh, self.target, command], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if done.returncode == SSH_FAILED:
            raise self.failure(done.stderr)
        if done.stderr:
            print(done.stderr, end="")
        return done.returncode

    @contextlib.contextmanager
    def linked(self, forward: Mapping[int, int], command: str | None = None) -> Iterator[Link]:
        """An ssh beside this process, which ends with it and forwards `{local port: port on the head's loopback}`. A
        command on the head that reads its input, or writes, notices when it is gone."""
        ports = [part for here, there in forward.items() for part in ("-L", f"127.0.0.1:{here}:127.0.0.1:{there}")]
        what = [self.target, command] if command is not None else ["-N", self.target]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                [*self.ssh, "-o", "ExitOnForwardFailure=yes", *ports, *what],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for us to answer
            )
            link = Link(self, process, errors)
            try:
                for port in forward:
                    link.wait_for(port)
                yield link
            finally:
                link.close()

    @contextlib.contextmanager
    def tunnel(self) -> Iterator[int]:
        """A free port of this machine that leads to Ray's dashboard on the head."""
        here = free_port()
        with self.linked({here: self.dashboard_port}):
            yield here

    def fetch(self, folder: str, to: Path, *, exclude: Sequence[str] = ()) -> None:
        """Brings a folder's files here. Files that are here and not there stay."""
        to.mkdir(parents=True, exist_ok=True)
        command = [
            tool("rsync"),
            "-az",
            "--timeout=60",
            "--partial-dir=.partial",
            *(f"--exclude={name}" for name in exclude),
        ]
        command += ["-e", shlex.join(self.ssh), f"{self.target}:{folder.removeprefix('~/')}/", f"{to}/"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if done.returncode in (SSH_FAILED, 12, 30):  # rsync's own codes for a connection that broke
            raise self.failure(done.stderr)
        if done.returncode not in (0, VANISHED):
            raise Fault(f"rsync could not fetch {folder} from the head: {last_line(done.stderr)}")

    def failure(self, stderr: str) -> UserError:
        """What ssh said, as one line with the fix."""
        said = stderr.strip()
        reason = last_line(said) or "the connection broke"
        if "Permission denied" in said:
            with_key = f"the key {self.key}" if self.key else "your SSH keys"
            return UserError(
                f"{self.target} refuses {with_key} (Permission denied); mend auth.ssh_user and auth.ssh_private_key in "
                f"{self.yaml} (a key with a passphrase needs ssh-agent)"
            )
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
            known = Path(_KNOWN_HOSTS).expanduser()
            return UserError(
                f"{self.ip} answers with another host key than before; if that machine was made anew, forget the old "
                f"one by `ssh-keygen -R {self.ip} -f {known}`"
            )
        if "Could not resolve" in said:
            return Unreachable(
                f"no machine is known by the name {self.ip} at this moment; mend the head's address in {self.yaml}"
            )
        if not said or any(word in said for word in _GONE):
            return Unreachable(f"{self.target} does not answer over SSH ({reason}); {self._advice}")
        return UserError(f"ssh {self.target} failed: {reason}; {self._advice}")

    def silent(self, seconds: float) -> Unreachable:
        return Unreachable(f"{self.target} did not answer within {seconds:.0f} s; {self._advice}")

    @property
    def _advice(self) -> str:
        return f"is the cluster up (`ray up {self.yaml}`), and does its firewall let this machine in on port 22?"


class Link:
    """An ssh that is there."""

    def __init__(self, head: Head, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._head, self._process, self._errors = head, process, errors
        self.newest = ""  # of the lines that the command has written
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._process.stdout or contextlib.nullcontext(()) as lines:
            for line in lines:
                self.newest = line.strip() or self.newest

    def check(self) -> None:
        """Raises what ssh has ended with."""
        if self._process.poll() is not None:
            self._errors.seek(0)
            raise self._head.failure(self._errors.read())

    def wait_for(self, port: int) -> None:
        """Until ssh listens on the forwarded port."""
        end = time.monotonic() + 2 * CONNECT_S
        while time.monotonic() < end:
            self.check()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.05)
        raise self._head.silent(2 * CONNECT_S)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._reader.join(timeout=1)


def tool(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise UserError(f"{name} is not on this machine; install it (Debian, Ubuntu: apt-get install openssh-client rsync)")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"\s+", " ", lines[-1]) if lines else ""
