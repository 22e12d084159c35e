"""`ray up` on a head and two workers, a sweep from the laptop with a worker killed in it, refusals, and `ray down`.

The tests are steps of one session with one cluster, in the order of the file.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from tests.hosts.cluster import BASHRC, PATIENCE_S, PYTHON, Cluster
from tests.hosts.fabric import Fabric, Host, wait_until, why_not

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(3 * PATIENCE_S),
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]


class Space(NamedTuple):
    """What is changed of the quick start's, and what must come of it."""

    models: tuple[str, ...]
    trials: int
    epochs: int
    seeds: int = 2

    def options(self, name: str) -> list[str]:
        changes = (
            f"models=[{','.join(self.models)}]",
            f"experiment.epochs={self.epochs}",
            f"experiment.evaluate_every={self.epochs // 6}",
            f"experiment.checkpoint_every={self.epochs // 12}",
            "scheduler=none",
            f"finalists.seeds={self.seeds}",
        )
        options = [part for change in changes for part in ("--set", change)]
        return ["launch/ssh.yaml", "search_spaces/quickstart.yaml", "--name", name, f"--trials={self.trials}", *options]


SHORT = Space(("vae", "gan"), trials=2, epochs=60)
LONG = Space(("vae",), trials=4, epochs=480)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Fabric(3, bashrc=BASHRC) as fabric:
        cluster = Cluster(fabric)
        cluster.edit()
        with cluster.stage("launch/setup and token"):
            cluster.run("launch/setup")
            cluster.run(".venv/bin/genray", "cluster", "token")
        cluster.up()
        yield cluster


def test_workers_came_without_a_manual_step(cluster: Cluster) -> None:
    assert cluster.alive() == {host.address for host in (cluster.head, *cluster.workers)}


def test_doctor_sees_all_machines(cluster: Cluster) -> None:
    said = cluster.run(".venv/bin/genray", "cluster", "doctor", "launch/ssh.yaml", check=False).stdout
    lines = {" ".join(line.split()[1:2]): line.split()[0] for line in said.splitlines()}
    assert {"nodes", "versions", "clocks", "token", "dashboard", "all-reduce"} <= lines.keys(), said
    failed = {name for name, level in lines.items() if level == "FAIL"}
    assert failed <= {"disk", "memory", "object"}, said  # of which these hosts have little


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("auth.ssh_private_key", "wrong_key", "refuses the key"),
        ("auth.ssh_private_key", "no_key", "there is no key"),
        ("auth.ssh_user", "somebody", "refuses the key"),
        ("provider.head_ip", "10.77.0.250", "does not answer over SSH"),
        ("token", "", "the cluster's token is missing"),
    ],
)
def test_what_keeps_a_user_out_is_one_line(key: str, value: str, words: str, cluster: Cluster) -> None:
    config, path = yaml.safe_load(cluster.yaml.read_text()), cluster.checkout / "other.yaml"
    part, _, name = key.partition(".")
    if name:
        config[part][name] = str(cluster.fabric.dir / value) if value.endswith("key") else value
    path.write_text(yaml.safe_dump(config))
    env = cluster.env | ({} if name else {"RAY_AUTH_TOKEN_PATH": "/nowhere"})
    ask = (".venv/bin/genray", "cluster", "jobs", path)
    done = cluster.laptop.run(*ask, check=False, timeout=PATIENCE_S, cwd=cluster.checkout, env=env)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert words in line


def test_request_through_the_tunnel_without_the_token_is_refused(cluster: Cluster) -> None:
    tunnel = ["ssh", *cluster.fabric.ssh_options, "-N", "-L", "18265:127.0.0.1:8265", f"root@{cluster.head.address}"]
    jobs, token = "http://127.0.0.1:18265/api/jobs/", str(cluster.fabric.home / ".ray" / "auth_token")
    with subprocess.Popen(cluster.laptop.command(*tunnel)):
        try:
            wait_until(lambda: cluster.ask(cluster.laptop, jobs, token).startswith("200"), timeout_s=60)
            assert cluster.ask(cluster.laptop, jobs) == "401"
            wrong = cluster.fabric.shared / "wrong_token"
            wrong.write_text("0" * 64)
            assert cluster.ask(cluster.laptop, jobs, str(wrong)) in ("401", "403")
        finally:
            cluster.laptop.kill("ssh")


def test_other_hosts_do_not_reach_the_dashboard(cluster: Cluster) -> None:
    for host in (cluster.laptop, *cluster.workers):
        assert "Connection refused" in cluster.ask(host, f"http://{cluster.head.address}:8265/api/version")


def test_drivers_without_the_token_are_refused(cluster: Cluster) -> None:
    """Each tries for half a minute: all at once."""

    def connect(address: str, env: dict[str, str]) -> str:
        driver = f"import ray; ray.init('{address.format(cluster.head.address)}'); print('let in')"
        result = cluster.workers[0].run(PYTHON, "-c", driver, env=env, check=False, timeout=PATIENCE_S)
        assert result.returncode != 0
        assert "let in" not in result.stdout
        return result.stderr

    none, wrong = {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    addresses = ("{}:6379", "ray://{}:10001")
    with ThreadPoolExecutor() as pool:
        said = [pool.submit(connect, address, env) for address in addresses for env in (none, wrong)]
    for future in said:
        assert "ConnectionError" in future.result()


def test_a_sweep_outlives_a_worker(cluster: Cluster) -> None:
    """Nothing is lost, nothing counted twice; all runs come to the head, and the page to the laptop."""
    with cluster.stage("sweep"), submitted(cluster, *SHORT.options("outlives")) as job:
        until_at_work(cluster, job, "outlives", cluster.workers[0])
        assert cluster.workers[0].kill("raylet") == 1
    check_sweep(cluster.checkout / "runs" / "outlives", SHORT)
    kept = kept_as(cluster, "outlives")
    there = cluster.head.run("sh", "-c", f"ls -d {kept}/*/finalist_*/checkpoint").stdout.split()
    assert len(there) == len(SHORT.models) * SHORT.seeds
    for worker in cluster.workers:
        assert worker.run("test", "-e", kept, check=False).returncode != 0


@contextmanager
def submitted(cluster: Cluster, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep that is followed from the laptop, to its good end."""
    log = log_of(cluster)
    command = cluster.laptop.command("launch/submit", *options, cwd=cluster.checkout, env=cluster.env)
    with log.open("w") as file, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file) as job:
        try:
            yield job
            code = job.wait(timeout=PATIENCE_S)
        except BaseException as error:
            error.add_note(log.read_text())
            raise
        finally:
            job.kill()
    assert code == 0, log.read_text()


def log_of(cluster: Cluster) -> Path:
    return cluster.fabric.shared / "submit.log"


def until_at_work(cluster: Cluster, job: subprocess.Popen[bytes], name: str, *hosts: Host) -> None:
    """Until a run has come to the head, and these hosts train."""
    seen = ["sh", "-c", f"ls {kept_as(cluster, name)}/*/trial_*/metrics.jsonl"]

    def at_work() -> bool:
        if " running" not in log_of(cluster).read_text():  # it may still be measured what the sweep will need
            return False
        return cluster.head.run(*seen, check=False).returncode == 0 and all(cluster.busy(host) for host in hosts)

    wait_until(lambda: job.poll() is not None or at_work(), timeout_s=PATIENCE_S)
    assert job.poll() is None, "it has ended before"


def kept_as(cluster: Cluster, name: str) -> Path:
    return cluster.fabric.home / "genray-runs" / name


def check_sweep(out: Path, space: Space) -> None:
    """Every model a row, every trial done once, every run's rows once and to the last epoch."""
    comparison = json.loads((out / "comparison" / "comparison.json").read_text())
    assert (out / "comparison" / "index.html").stat().st_size > 10_000
    assert sorted(row["model"] for row in comparison["rows"]) == sorted(space.models)
    assert not comparison["without_result"]
    backend = optuna.storages.journal.JournalFileBackend(str(out / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    for row in comparison["rows"]:
        model = row["model"]
        study = optuna.load_study(study_name=model, storage=storage)
        assert (len(row["seeds"]), row["failed_trials"]) == (space.seeds, 0), (model, study.user_attrs)
        states = [trial.state for trial in study.trials]
        assert states == [TrialState.COMPLETE] * space.trials
        runs = sorted(path.name for path in (out / model).iterdir())
        assert runs == [f"finalist_{i}" for i in range(space.seeds)] + [f"trial_{i:04}" for i in range(space.trials)]
        for run in runs:
            rows = [json.loads(line) for line in (out / model / run / "metrics.jsonl").read_text().splitlines()]
            assert [row["epoch"] for row in rows] == list(range(space.epochs + 1)), f"{model}/{run}"


def test_token_is_in_one_file_and_nowhere_else(cluster: Cluster) -> None:
    """After all that Ray has logged above."""
    path = cluster.fabric.home / ".ray" / "auth_token"
    token = cluster.laptop.run("cat", path).stdout.strip()
    assert len(token) >= 64
    for host in cluster.fabric.machines:
        assert host.run("stat", "-c", "%a", path).stdout.strip() == "600"
        assert not [line for line in host.command_lines() if token in line]
        (cluster.fabric.shared / "pattern").write_text(token)
        search = ["grep", "-rlF", "-f", cluster.fabric.shared / "pattern", "/tmp", cluster.fabric.home]
        found = set(host.run(*search, f"--exclude-dir={cluster.fabric.dir.name}", check=False).stdout.split())
        assert found <= {str(path)}, host.name
        (cluster.fabric.shared / "pattern").unlink()


def test_ray_up_again_brings_changed_code_a_dead_worker_and_a_dead_head(cluster: Cluster) -> None:
    """In the middle of a sweep, which does not survive it."""
    (cluster.checkout / "genray" / "changed.py").write_text("CHANGED = True\n")
    with pytest.raises(AssertionError, match="--resume"), submitted(cluster, *LONG.options("faults")) as job:  # noqa: PT012  of a test that is cut off
        until_at_work(cluster, job, "faults", cluster.workers[0])
        cluster.workers[1].kill("raylet")
        cluster.head.kill("raylet")
        cluster.head.kill("gcs_server")
        cluster.up()
    for host in (cluster.head, *cluster.workers):
        assert host.run("cat", "genray/genray/changed.py").stdout == "CHANGED = True\n"


def test_it_goes_on_and_outlives_a_full_disk_and_a_lost_network(cluster: Cluster) -> None:
    with cluster.stage("sweep goes on"), submitted(cluster, *LONG.options("faults"), "--resume") as job:
        until_at_work(cluster, job, "faults", *cluster.workers)
        cluster.workers[0].fill_disk()
        time.sleep(15)
        cluster.workers[0].free_disk()
        cluster.workers[1].cut()
        time.sleep(60)
        assert job.poll() is None, "it has ended before"
        cluster.workers[1].restore()
    check_sweep(cluster.checkout / "runs" / "faults", LONG)


def test_ray_down_leaves_nothing(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.ray_processes()
    with cluster.stage("ray down"):
        cluster.run(".venv/bin/ray", "down", "-y", "launch/ssh.yaml")
        wait_until(lambda: not cluster.ray_processes(), timeout_s=PATIENCE_S, every_s=1)
    with capsys.disabled():
        print("", *(f"{seconds:6.1f} s  {name}" for name, seconds in cluster.stages), sep="\n")
