"""--down takes the cluster down when the page is here, and not before."""

from pathlib import Path

import pytest

from genray.cli import main
from genray.cluster.remote import down, fetch, poll
from tests.cluster.remote.conftest import Laptop, needs_rsync
from tests.cluster.remote.fake_ray import FakeRay

JOB = "tiny-20260131-120000"


@pytest.fixture
def ray_down(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a stand-in for `ray` writes how it was called."""
    laptop.add_tool("ray", f'echo "$@" >>{laptop.path}/ray-calls; exit $(cat {laptop.path}/code 2>/dev/null || echo 0)')
    monkeypatch.setattr(down.sys, "executable", str(laptop.bin / "python"))
    monkeypatch.setattr(poll, "POLL_S", 0.1)
    monkeypatch.setattr(fetch, "PAUSES_S", (0.0,))
    return laptop.path / "ray-calls"


@needs_rsync
def test_cluster_goes_when_the_page_is_here(
    laptop: Laptop, fake_ray: FakeRay, ray_down: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_ray.add(JOB, "SUCCEEDED")
    cluster = str(laptop.cluster(fake_ray.port))
    (laptop.head / "genray-runs").mkdir()
    assert main(["cluster", "attach", cluster, "--down"]) == 1  # no folder to fetch
    assert not ray_down.exists()
    assert "lab stays up; `ray down " in capsys.readouterr().err

    (laptop.head / "genray-runs/tiny/vae/trial_0000/checkpoint").mkdir(parents=True)
    (laptop.head / "genray-runs/tiny/vae/trial_0000/checkpoint/state.pt").touch()
    assert main(["cluster", "attach", cluster, "--down", "--checkpoints"]) == 0
    assert ray_down.read_text() == f"down -y {cluster}\n"
    assert Path("runs/tiny/vae/trial_0000/checkpoint/state.pt").exists()

    (laptop.path / "code").write_text("1")
    capsys.readouterr()
    assert main(["cluster", "attach", cluster, "--down"]) == 1
    assert "the page is here, but `ray down` failed" in capsys.readouterr().err


def test_cluster_stays_where_the_sweep_failed(
    laptop: Laptop, fake_ray: FakeRay, ray_down: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_ray.add(JOB, "FAILED", driver_exit_code=1, log="genray: no space left\n")
    assert main(["cluster", "attach", str(laptop.cluster(fake_ray.port)), "--down"]) == 1
    assert not ray_down.exists()
    assert [line.split(";")[0] for line in capsys.readouterr().err.splitlines()][1:] == [
        "lab stays up",
        f"genray: {JOB}: no space left",
    ]
