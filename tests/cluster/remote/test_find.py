"""Where the head is: of machines of one's own by the file, of a cloud by its provider."""

from typing import Any

import pytest

from genray.cluster.remote import settings
from genray.cluster.remote.find import find
from genray.errors import UserError
from tests.cluster.remote.conftest import Laptop, says


def test_head_of_ones_own_machines_stands_in_the_file(laptop: Laptop) -> None:
    provider = {"type": "local", "head_ip": "10.0.0.2", "worker_ips": []}
    head = find(settings.read(laptop.cluster(9000, provider=provider)))
    assert (head.target, head.dashboard_port, head.key) == ("ada@10.0.0.2", 9000, str(laptop.path / "key"))
    outside = provider | {"external_head_ip": "lab.example.org"}
    assert find(settings.read(laptop.cluster(provider=outside))).ip == "lab.example.org"


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Any:
    from ray.autoscaler import sdk

    monkeypatch.setattr(sdk, "bootstrap_config", lambda config: print("Checking AWS environment settings") or config)
    monkeypatch.setattr(sdk, "get_head_node_ip", lambda config: "203.0.113.7")
    return sdk


@pytest.mark.slow
def test_provider_is_asked_and_its_talk_is_not_shown(
    laptop: Laptop, sdk: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    auth = {"ssh_user": "ubuntu", "ssh_private_key": str(laptop.path / "key"), "ssh_proxy_command": "nc %h %p"}
    head = find(settings.read(laptop.cluster(provider={"type": "aws"}, auth=auth)))
    assert head.target == "ubuntu@203.0.113.7"
    assert "ProxyCommand=nc %h %p" in head.ssh
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_cluster_that_is_not_up_is_told_with_the_fix(laptop: Laptop, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(config: object) -> None:
        raise RuntimeError("Head node of cluster (lab) not found!")

    monkeypatch.setattr(sdk, "get_head_node_ip", none)
    with pytest.raises(
        UserError, match=r"aws knows no head of lab: Head node .* is the cluster up \(`ray up .*cluster.yaml`\)"
    ):
        find(settings.read(laptop.cluster(provider={"type": "aws"})))


@pytest.mark.slow
def test_package_that_a_cloud_needs_is_named(laptop: Laptop, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(config: object) -> None:
        raise ModuleNotFoundError("No module named 'googleapiclient'", name="googleapiclient")

    monkeypatch.setattr(sdk, "bootstrap_config", missing)
    with pytest.raises(UserError, match=r"gcp needs a package that is not here .*; pip install 'genray\[gcp\]'"):
        find(settings.read(laptop.cluster(provider={"type": "gcp"})))


def test_doctor_runs_on_the_head(laptop: Laptop, capfd: pytest.CaptureFixture[str]) -> None:
    (laptop.head / "genray").unlink()
    (laptop.head / "genray/.venv/bin").mkdir(parents=True)
    python = laptop.head / "genray/.venv/bin/python"
    python.write_text('#!/bin/sh\necho "$RAY_AUTH_MODE" "$@"; exit 2\n')
    python.chmod(0o755)
    from genray.cli import main

    assert main(["cluster", "doctor", str(laptop.cluster(metadata={"genray": {"storage": "shared"}}))]) == 2
    shown = capfd.readouterr().out.strip()
    assert shown == f"token -m genray doctor --address auto --storage {laptop.head}/genray-runs"
    laptop.broken.write_text("Permission denied (publickey)")
    assert "refuses the key" in says(capfd, 2, "cluster", "doctor", laptop.cluster())
