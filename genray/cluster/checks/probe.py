"""What runs on each machine. It is sent by value and imports the standard library alone, so that it runs where genray
is missing or another version.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "optuna", "genray")
GPU_S = 25.0  # for torch's import and a first kernel

_KERNELS = """
import json, torch
found = []
for i in range(torch.cuda.device_count()):
    try:
        total = float(torch.ones(1024, device=f"cuda:{i}").sum())
        error = "" if total == 1024 else f"summed 1,024 ones to {total:g}"
    except Exception as fault:
        error = " ".join(str(fault).split())[:200] or type(fault).__name__
    found.append({"name": torch.cuda.get_device_name(i), "error": error})
print(json.dumps(found))
"""


class Probe:
    """An actor that holds nothing: it runs where every CPU is taken."""

    def clock(self) -> float:
        return time.time()

    def facts(self, ray_folder: str) -> dict[str, Any]:
        """`ray_folder`: Ray's own temporary folder, as the driver names it."""
        return {
            "host": socket.gethostname(),
            "versions": _versions(),
            "memory": _memory(),
            "free": _free(tempfile.gettempdir(), ray_folder),
            "shm": shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else None,  # noqa: S108  looked at alone
            "listening": _listening(),
            "gpus": _gpus(),
        }

    def versions(self) -> dict[str, str]:
        return _versions()

    def connect(self, host: str, port: int) -> str:
        """`open`, or why not."""
        try:
            socket.create_connection((host, port), timeout=5).close()
        except OSError as error:
            return error.strerror or type(error).__name__
        return "open"

    def write(self, url: str, name: str, content: bytes) -> None:
        place, path = _storage(url)
        with place.open_output_stream(f"{path}/{name}") as stream:
            stream.write(content)

    def read(self, url: str, name: str) -> bytes:
        place, path = _storage(url)
        with place.open_input_stream(f"{path}/{name}") as stream:
            content: bytes = stream.read()
        return content

    def remove(self, url: str, name: str) -> None:
        place, path = _storage(url)
        place.delete_file(f"{path}/{name}")


def _storage(url: str) -> tuple[Any, str]:
    """A URL, or the path of a folder, which must be there."""
    from pyarrow import fs

    if "://" not in url and not os.path.isdir(url):
        raise FileNotFoundError(f"{url} is not a folder here")
    place, path = fs.FileSystem.from_uri(url)
    return place, path.rstrip("/")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found | {"genray's code": _digest()}


def _digest() -> str:
    """Of every Python file of the genray that this machine imports."""
    spec = importlib.util.find_spec("genray")
    if spec is None or not spec.submodule_search_locations:
        return "missing"
    top, digest = Path(next(iter(spec.submodule_search_locations))), hashlib.sha256()
    for path in sorted(top.rglob("*.py")):
        digest.update(path.relative_to(top).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:10]


def _memory() -> dict[str, int]:
    """Bytes. Empty where there is no /proc."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
    return {"total": values["MemTotal"], "available": values["MemAvailable"]}


def _free(*paths: str) -> dict[str, int]:
    """Bytes, by folder, one of each disk."""
    disks = {_nearest(path).stat().st_dev: path for path in reversed(paths)}
    return {path: shutil.disk_usage(_nearest(path)).free for path in disks.values()}


def _nearest(path: str) -> Path:
    return next(folder for folder in (Path(path), *Path(path).parents) if folder.exists())


def _listening() -> dict[str, list[int]]:
    """TCP ports that are listened on, by `loopback`, `all` and `one` interface. Empty where there is no /proc."""
    found: dict[str, set[int]] = {"loopback": set(), "all": set(), "one": set()}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            if state == "0A":  # listen
                host, port = local.split(":")
                found[_reach(host)].add(int(port, 16))
    return {reach: sorted(ports) for reach, ports in found.items()}


def _reach(host: str) -> str:
    """Of an address as /proc writes it: hexadecimal, words of four bytes in the machine's order."""
    raw = b"".join(bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8))
    if not any(raw):
        return "all"
    is_loopback = raw[-4] == 127 if len(raw) == 4 or raw[:12] == bytes(10) + b"\xff\xff" else raw == bytes(15) + b"\1"
    return "loopback" if is_loopback else "one"


def _gpus() -> dict[str, Any]:
    """Each GPU that torch sees, and how a small kernel went on it. In a process of its own: a driver may hang."""
    if not (os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi") or os.path.exists("/dev/dxg")):
        return {"seen": [], "error": ""}
    env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _KERNELS], env=env, capture_output=True, text=True, timeout=GPU_S
        )
    except subprocess.TimeoutExpired:
        return {"seen": [], "error": f"a small kernel did not end in {GPU_S:g} s"}
    if done.returncode:
        return {"seen": [], "error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]}
    return {"seen": json.loads(done.stdout.strip().splitlines()[-1]), "error": ""}
