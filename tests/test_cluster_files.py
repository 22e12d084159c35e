"""The files that start clusters: valid by Ray's own schema, closed to the network, and with nothing secret in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from genray.cluster.remote.settings import read

ROOT = Path(__file__).parents[1]
RAY_FILES = ("cluster.yaml", "launch/gcp.yaml", "launch/ssh.yaml")
FILES = (*RAY_FILES, "launch/slurm.sbatch", "launch/kuberay.yaml", "Dockerfile")
KEYS = ("cluster_name", "provider", "auth", "metadata", "max_workers", "idle_timeout_minutes", "available_node_types")
KEYS += (
    "head_node_type",
    "file_mounts",
    "rsync_exclude",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
)
KEYS += ("head_start_ray_commands", "worker_start_ray_commands")


def filled_in(path: str) -> dict[str, Any]:
    """As `ray up` reads the file: with Ray's defaults where it says nothing."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load((ROOT / path).read_text()))
    validate_config(config)
    return dict(config)


def starts(config: dict[str, Any], which: str) -> str:
    """The command that starts Ray, on the head or a worker."""
    [command] = [command for command in config[f"{which}_start_ray_commands"] if "ray start" in command]
    return str(command)


@pytest.mark.parametrize("path", RAY_FILES)
def test_file_is_valid_and_reads_like_the_others(path: str) -> None:
    filled_in(path)
    keys = list(yaml.safe_load((ROOT / path).read_text()))
    assert keys == [key for key in KEYS if key in keys]
    settings = read(ROOT / path).settings
    assert settings.max_gpu_hours
    assert max(map(len, (ROOT / path).read_text().splitlines())) <= 150


@pytest.mark.parametrize("path", RAY_FILES)
def test_ray_starts_closed_to_the_network(path: str) -> None:
    """Also with what Ray adds to a file that leaves a key out."""
    config = filled_in(path)
    head, worker = starts(config, "head"), starts(config, "worker")
    assert "--dashboard-host=127.0.0.1" in shlex.split(head)
    assert "0.0.0.0" not in head + worker
    for command in (head, worker):
        assert re.search(r"RAY_AUTH_MODE=token[ ;].*ray start", command, re.DOTALL)
    assert {"--num-cpus=0", "--num-gpus=0", "--autoscaling-config=~/ray_bootstrap_config.yaml"} <= set(
        shlex.split(head)
    )
    assert "--address=$RAY_HEAD_IP:6379" in worker


@pytest.mark.parametrize("path", RAY_FILES)
def test_token_travels_as_a_file_for_one_user_alone(path: str) -> None:
    config = filled_in(path)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("chmod 600 ~/.ray/auth_token" in command for command in config["head_setup_commands"])
    assert any("chmod 600 ~/.ray/auth_token" in command for command in config["worker_setup_commands"])


@pytest.mark.parametrize("path", RAY_FILES)
def test_every_machine_installs_the_pinned_versions_and_nothing_else(path: str) -> None:
    """Ray's defaults would add an installation of their own, without pins."""
    config = filled_in(path)
    for which in ("head", "worker"):
        commands = config[f"{which}_setup_commands"]
        assert [command for command in commands if re.match(r"~/genray/launch/setup( aws| gcp)?$", command)]
        assert not [command for command in commands if re.search(r"\b(pip|conda|curl|wget)\b", command)]


@pytest.mark.parametrize("path", RAY_FILES)
def test_what_installation_needs_is_brought_and_no_more(path: str) -> None:
    """Every mount is there, `launch/setup` finds what it reads, and results, data and environments stay at home."""
    mounts = filled_in(path)["file_mounts"]
    brought = {local for remote, local in mounts.items() if remote.startswith("~/genray")}
    assert all(mounts[f"~/genray/{name}"] == name and (ROOT / name).exists() for name in brought)
    project = (ROOT / "pyproject.toml").read_text()
    read_by_build = {"genray", "search_spaces", "launch", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert brought == read_by_build
    assert all(f'"{name}"' in project for name in ("README.md", "LICENSE"))
    assert "__pycache__" in filled_in(path)["rsync_exclude"]


@pytest.mark.parametrize("path", ["cluster.yaml", "launch/gcp.yaml"])
def test_cloud_grows_from_nothing_and_shrinks_again(path: str) -> None:
    config = filled_in(path)
    head, gpu = (config["available_node_types"][name] for name in ("head", "gpu"))
    assert config["head_node_type"] == "head"
    assert head["resources"]["CPU"] == 0
    assert (gpu["min_workers"], gpu["max_workers"]) == (0, config["max_workers"])
    assert config["idle_timeout_minutes"] <= 10
    assert config["provider"].get("cache_stopped_nodes", False) is False


def test_ssh_is_all_that_the_security_groups_of_the_documents_open() -> None:
    text = (ROOT / "docs/cluster.md").read_text().replace("\\\n", " ")
    rules = re.findall(
        r"^(?:aws ec2 authorize-security-group-ingress|gcloud compute firewall-rules create) (.+)$", text, re.M
    )
    assert len(rules) == 4
    for rule in rules:
        assert "0.0.0.0" not in rule
        inside = "--source-group" in rule or "--source-ranges 10." in rule
        assert inside or re.search(r"--port 22 .*/32|--allow tcp:22 .*/32", rule), rule


SECRETS = (
    r"AKIA[0-9A-Z]{16}",  # of AWS
    r"\b[0-9]{12}\b",  # an AWS account
    r"\b[0-9a-f]{40,}\b",  # tokens
    r"-----BEGIN",
    r"(?i)(password|secret_access_key|auth_token)\s*[:=]\s*['\"]?[\w/+]{8,}",
)


@pytest.mark.parametrize("path", [*FILES, "docs/cluster.md"])
def test_nothing_secret_stands_in_a_file(path: str) -> None:
    text = (ROOT / path).read_text()
    assert not [found for pattern in SECRETS for found in re.findall(pattern, text)]


@pytest.mark.parametrize("path", FILES)
def test_token_never_stands_on_a_command_line(path: str) -> None:
    """Every user of a machine sees the command lines of all. Ray reads the token from a file, or a Secret."""
    for line in (ROOT / path).read_text().splitlines():
        assert "RAY_AUTH_TOKEN=" not in line
        assert not re.search(r"--(auth-)?token|\$\(.*auth_token|cat .*token", line), line


def test_image_has_what_is_copied_and_runs_as_nobody_in_particular() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[2:-1]]
    assert {"genray", "launch/setup", "pyproject.toml", "constraints.txt", "search_spaces"} <= set(copied)
    assert all((ROOT / name).exists() for name in copied)
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(allowed) == sorted(copied)
    user = next(i for i, line in enumerate(lines) if line.startswith("USER"))
    assert int(lines[user].split()[1].split(":")[0]) >= 1000
    assert any(line.startswith("RUN launch/setup") for line in lines[user:])
    [base] = [line.split(":")[1] for line in lines if line.startswith("FROM")]
    assert base.startswith("3.11")  # constraints.txt was tested with it


def test_dockerfile_passes_hadolint() -> None:
    import shutil
    import subprocess
    import sys

    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    result = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout
