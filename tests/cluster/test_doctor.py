"""Each check over facts that are made, and the whole over clusters of several nodes on this machine."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genray.cluster.checks import security, versions
from genray.cluster.checks.base import Check, joined
from genray.cluster.checks.probe import Probe, _reach

VERSIONS = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.15.0", "optuna": "5.0.0", "genray": "0.1.0"}


def facts(**changed: Any) -> dict[str, Any]:
    """Of a machine that is well."""
    return {
        "versions": VERSIONS,
        "memory": {"total": 32e9, "available": 20e9},
        "free": {"/tmp": 100e9},
        "shm": 16e9,
        "listening": {"all": [22], "loopback": [8265], "one": []},
        "gpus": {"seen": [], "error": ""},
    } | changed


def test_a_line_has_the_rule_the_value_and_the_fix() -> None:
    line = Check("clocks", "FAIL", "must agree to 2 s, got 3 s", "switch\nsynchronization on").line
    assert line == "FAIL  clocks        must agree to 2 s, got 3 s; switch synchronization on"
    assert Check("clocks", "ok", "one machine").line == "ok    clocks        one machine"


def assert_one(checks: list[Check] | Check, *parts: str, level: str = "FAIL") -> None:
    """There is one, as bad as that, that says all this, and how to mend it."""
    [check] = checks if isinstance(checks, list) else [checks]
    assert check.level == level, check
    assert all(part in check.found for part in parts), check
    assert check.fix or level == "ok"


def test_versions_that_differ_are_named_with_their_machines() -> None:
    other = facts(versions=VERSIONS | {"torch": "2.13.0"})
    assert_one(versions.check({"a": facts(), "b": other, "c": facts()}), "2.15.0 on a and c", "2.13.0 on b", "torch")
    assert_one(versions.check({"a": facts(versions=VERSIONS | {"genray": "missing"})}), "genray", "missing on a")
    assert_one(versions.check({"a": facts(), "b": facts()}), "torch 2.15.0", level="ok")


def test_of_many_machines_some_are_named() -> None:
    assert joined("ab") == "a and b"
    assert joined("abcdefgh") == "a, b, c, d, e and 3 more"


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("0100007F", "loopback"),
        ("00000000", "all"),
        ("0200000A", "one"),
        ("0" * 32, "all"),
        ("00000000000000000000000001000000", "loopback"),
        ("0000000000000000FFFF00000100007F", "loopback"),
        ("0000000000000000FFFF00000200000A", "one"),
    ],
)
def test_addresses_as_proc_writes_them(address: str, reach: str) -> None:
    assert _reach(address) == reach


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc")
def test_facts_of_this_machine() -> None:
    with socket.create_server(("0.0.0.0", 0)) as wide, socket.create_server(("127.0.0.1", 0)) as narrow:
        found = Probe().facts("/nowhere/at/all")
        assert wide.getsockname()[1] in found["listening"]["all"]
        assert narrow.getsockname()[1] in found["listening"]["loopback"]
        port = narrow.getsockname()[1]
        assert Probe().connect("127.0.0.1", port) == "open"
    assert Probe().connect("127.0.0.1", port) == "Connection refused"
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert len(found["versions"]["genray's code"]) == 10
    assert 0 < found["memory"]["available"] < found["memory"]["total"]


def test_a_request_that_is_answered_without_the_token_fails() -> None:
    assert_one(security.token("answered", "refused"), "an answer from Ray's head")
    assert_one(security.token("refused", "answered"), "an answer from the dashboard")
    assert_one(security.token("no answer in 25 s", None), "Ray's head: no answer", level="warn")
    assert_one(security.token("refused", "refused"), "Ray's head and the dashboard refuse a request", level="ok")


def test_a_dashboard_that_others_reach_fails() -> None:
    listening = {"all": [22], "loopback": [8265]}
    refused = {"head": "Connection refused", "b": "Connection refused"}
    assert_one(security.dashboard("127.0.0.1:8265", refused, listening), "127.0.0.1:8265", level="ok")
    assert_one(security.dashboard("10.0.0.2:8265", refused | {"b": "open"}, listening), "reached from b")
    assert_one(security.dashboard("127.0.0.1:8265", {}, {"all": [8265]}), "every interface")
    assert_one(security.dashboard(None, {}, {}), "none", level="ok")
    ports = {"a": facts(listening={"all": [22, 6379, 10002, 10003, 10004]})}
    assert_one(security.ports(ports), "a: 22, 6379, 10002-10004", level="ok")


@pytest.mark.ray  # imports it, as all below
def test_gpus_are_counted_and_tried() -> None:
    from genray.cluster.checks.machines import gpus

    good, bad = {"name": "H200", "error": ""}, {"name": "H200", "error": "no kernel image"}
    two = {"a": facts(gpus={"seen": [good, good], "error": ""})}
    assert_one(gpus(two, {"a": {"GPU": 2.0}}), "2 GPUs (H200)", "kernel", level="ok")
    assert_one(gpus(two, {"a": {"GPU": 3.0}}), "3 by Ray and 2 by torch on a")
    assert_one(gpus(two, {"a": {}}), "counts 0 of the 2", level="warn")
    assert_one(gpus({"a": facts(gpus={"seen": [good, bad], "error": ""})}, {"a": {"GPU": 2.0}}), "no kernel image")
    assert_one(gpus({"a": facts(gpus={"seen": [], "error": "hung"})}, {"a": {"GPU": 2.0}}), "hung")
    assert_one(gpus({"a": facts()}, {"a": {"CPU": 2.0}}), "0 GPUs", level="ok")


@pytest.mark.ray
def test_what_is_scarce_is_named_with_its_machine() -> None:
    from genray.cluster.checks.machines import disks, memory, object_store

    assert_one(
        memory({"a": facts(), "b": facts(memory={"total": 2e9, "available": 0.5e9})}), "0.5 GB free of 2.0 GB on b"
    )
    assert_one(disks({"a": facts(), "b": facts(free={"/scratch": 0.5e9})}), "0.5 GB in /scratch on b")
    assert_one(disks({"b": facts(free={"/scratch": 2e9})}), "2.0 GB in /scratch on b", level="warn")
    stores = {"a": {"object_store_memory": 9e9}, "b": {"object_store_memory": 1e9}}
    both = {"a": facts(), "b": facts()}
    assert_one(object_store(both, stores, 2 * 10**9, "mnist"), "mnist needs 2.3 GB, got 1.0 GB on b")
    assert_one(object_store({"a": facts(shm=1e9)}, stores, 2 * 10**9, "mnist"), "has 1.0 GB free")
    assert_one(object_store(both, stores, 10**8, "mnist"), "9.0 GB on a, 1.0 GB on b", level="ok")


@pytest.mark.ray
def test_clocks_may_differ_by_what_the_network_hides() -> None:
    from genray.cluster.checks.network import Offset, clocks

    assert_one(clocks({"a": Offset(0.0, 0.001), "b": Offset(-3.1, 0.01)}), "3.100 ± 0.011 s from b to a")
    assert_one(clocks({"a": Offset(0.0, 0.001), "b": Offset(3.1, 2.0)}), "3.100", level="ok")
    assert_one(clocks({"a": Offset(5.0, 0.001), "b": Offset(5.001, 0.002)}), "agree to 0.001 ± 0.003 s", level="ok")


@contextmanager
def cluster(num_nodes: int, env: dict[str, str], home: Path) -> Iterator[dict[str, Any]]:
    environment = clean() | env | {"HOME": str(home)}
    script = Path(__file__).with_name("machines.py")
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(script), str(num_nodes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )
    assert process.stdin
    assert process.stdout
    try:
        lines = iter(process.stdout.readline, "")
        line = next((line for line in lines if line.startswith("{")), "")
        assert line, (home / "log").read_text()
        found = json.loads(line)
        yield found | {"env": environment}
        process.stdin.close()
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        process.stdin.close()
        process.stdout.close()


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def doctor(cluster: dict[str, Any], *options: str, timeout: float = 300) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Its exit code, and checks by name."""
    done = subprocess.run(
        [sys.executable, "-m", "genray", "doctor", "--address", cluster["address"], "--json", *options],
        env=cluster["env"],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    found: dict[str, list[dict[str, str]]] = {}
    for check in json.loads(done.stdout.splitlines()[-1])["checks"]:
        found.setdefault(check["name"], []).append(check)
        assert any(
            line.split()[:2] == [check["level"], *check["name"].split()][:2] for line in done.stderr.splitlines()
        )
    return done.returncode, found


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with cluster(3, token, tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_that_is_well(three: dict[str, Any], tmp_path: Path) -> None:
    code, found = doctor(three, "--storage", str(tmp_path), "--dataset", "digits")
    bad = [check for checks in found.values() for check in checks if check["level"] == "FAIL"]
    assert [check["name"] for check in bad if check["name"] not in ("memory", "disk", "object store")] == [], bad
    assert code == int(bool(bad))
    assert "3 of 3 answer" in found["nodes"][0]["found"]
    assert "gloo" in found["all-reduce"][0]["found"]
    assert "pairs" in found["all-reduce"][0]["found"]
    assert "Ray's head and the dashboard refuse" in found["token"][0]["found"]
    assert found["dashboard"][0]["level"] == "ok"
    assert str(tmp_path) in found["storage"][0]["found"]
    assert list(tmp_path.iterdir()) == []  # what was written is gone


@pytest.mark.ray
@pytest.mark.slow
def test_a_storage_whose_server_is_down_is_named_with_every_machine(three: dict[str, Any]) -> None:
    url = "s3://key:secret@bucket/sweeps?scheme=http&endpoint_override=127.0.0.1:1&region=us-east-1"
    code, found = doctor(three, "--storage", url)
    assert code == 1
    assert found["storage"][0]["level"] == "FAIL"
    assert all(node["id"][:6] in found["storage"][0]["found"] for node in three["workers"])
    assert found["storage"][0]["fix"]
    assert "secret" not in json.dumps(found)


@pytest.mark.ray
@pytest.mark.slow
def test_a_machine_that_hangs_is_named_and_the_others_are_checked(three: dict[str, Any]) -> None:
    """The last one of this cluster: Ray gives the machine up meanwhile."""
    stopped, other = three["workers"]
    os.kill(stopped["raylet"], signal.SIGSTOP)
    started = time.monotonic()
    try:
        code, found = doctor(three)
        seconds = time.monotonic() - started
    finally:
        os.kill(stopped["raylet"], signal.SIGCONT)
    assert code == 1
    assert found["nodes"][0]["level"] == "FAIL"
    assert f"/{stopped['id'][:6]}: " in found["nodes"][0]["found"]
    assert other["id"][:6] not in found["nodes"][0]["found"]
    assert "all-reduce" in found
    assert seconds < 240


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_without_a_token_fails(tmp_path: Path) -> None:
    with cluster(1, {"RAY_AUTH_MODE": "disabled"}, tmp_path) as there:
        code, found = doctor(there)
        assert security.ask_dashboard(there["dashboard"]) == "answered"
    assert code == 1
    assert found["token"][0]["level"] == "FAIL"
    assert "an answer from Ray's head and the dashboard" in found["token"][0]["found"]
    assert "RAY_AUTH_MODE=token" in found["token"][0]["fix"]


@pytest.mark.ray
def test_wrong_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from genray.cli import main

    assert main(["doctor", "--address", "127.0.0.1:1"]) == 2
    assert main(["doctor", "--storage", "s3://"]) == 2
    assert main(["doctor", "--storage", "not/absolute"]) == 2
    address, *storage = capsys.readouterr().err.splitlines()
    assert "--address 127.0.0.1:1" in address
    assert len(storage) == 2
    assert all("--storage takes" in line for line in storage)
