"""What the cluster is told, and what is refused before it is told anything."""

import io
import json
import zipfile
from pathlib import Path

import pytest
import yaml

from genray.cli import main
from genray.cluster.remote import package
from tests.cluster.remote.conftest import ROOT, Laptop, says
from tests.cluster.remote.fake_ray import FakeRay

ESTIMATE = json.dumps({"gpu_hours": 12.5, "cpu_hours": 3.0, "hours": 4.0, "lines": ["8 trials, 12.5 GPU hours"]})


@pytest.fixture
def ray(fake_ray: FakeRay) -> FakeRay:
    fake_ray.ends["estimate"] = {"status": "SUCCEEDED", "log": f"chatter\n{ESTIMATE}\n"}
    return fake_ray


def submit(laptop: Laptop, ray: FakeRay, *more: object, **changed: object) -> int:
    cluster, space = laptop.cluster(ray.port, **changed), laptop.space()
    return main([str(part) for part in ("cluster", "submit", cluster, space, "--detach", *more)])


def test_job_carries_the_code_the_resolved_space_and_the_settings(laptop: Laptop, ray: FakeRay) -> None:
    assert submit(laptop, ray, "--trials", 5, "--set", "experiment.epochs=3", "--name", "mine") == 0
    estimate, sweep = ray.submitted
    assert sweep["submission_id"].startswith("mine-2")
    assert sweep["metadata"] == {"genray": "sweep", "sweep": "mine", "folder": "~/genray-runs/mine"}
    assert sweep["entrypoint"] == (
        "exec ~/genray/.venv/bin/python -m genray.cluster.remote.supervise "
        "~/genray-runs/mine space.yaml --out ~/genray-runs/mine"
    )
    assert estimate["entrypoint"] == "exec ~/genray/.venv/bin/python -m genray estimate space.yaml --json"
    variables = sweep["runtime_env"]["env_vars"]
    assert variables["GENRAY_JOB"] == sweep["submission_id"]
    assert variables["RAY_CHDIR_TO_TRIAL_DIR"] == "0"
    assert "secret" not in json.dumps(ray.submitted)
    [(name, content)] = ray.packages.items()
    assert sweep["runtime_env"]["working_dir"] == estimate["runtime_env"]["working_dir"] == f"gcs://{name}"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        space = yaml.safe_load(archive.read("space.yaml"))
        assert (space["trials"], space["experiment"]["epochs"]) == (5, 3)
        assert archive.read("genray/space.py") == (ROOT / "genray/space.py").read_bytes()
        assert {"pyproject.toml", "constraints.txt", "genray/report/page.html"} <= set(archive.namelist())
        assert not [name for name in archive.namelist() if "__pycache__" in name or name.startswith(("tests", ".git"))]


def test_equal_content_is_uploaded_once(laptop: Laptop, ray: FakeRay) -> None:
    assert package.pack("a: 1") == package.pack("a: 1")
    assert package.pack("a: 1")[0] != package.pack("a: 2")[0]


def test_a_package_that_is_swept_away_while_the_estimate_is_made_is_sent_again(
    laptop: Laptop, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray keeps what no job has for ten minutes."""

    def check_cost(*given: object) -> None:
        ray.packages.clear()

    monkeypatch.setattr("genray.cluster.remote.submit.check_cost", check_cost)
    assert submit(laptop, ray, "--name", "mine") == 0
    [sweep] = ray.submitted
    assert [f"gcs://{name}" for name in ray.packages] == [sweep["runtime_env"]["working_dir"]]


@pytest.mark.parametrize(
    ("options", "metadata", "end"),
    [
        (["--storage", "s3://b/x?scheme=http"], {}, " --storage 's3://b/x?scheme=http'"),
        ([], {"storage": "gs://b/x"}, " --storage gs://b/x"),
        (["--storage", "shared"], {"storage": "gs://b/x"}, "--out ~/genray-runs/tiny --storage shared"),
        ([], {"storage": "/mnt/all"}, " --out /mnt/all/tiny --storage shared"),
        (["--resume", "--storage", "s3://b/x"], {}, " --storage s3://b/x --resume"),  # a new head does not see it
    ],
)
def test_storage_goes_to_the_sweep(
    options: list[str], metadata: dict[str, str], end: str, laptop: Laptop, ray: FakeRay
) -> None:
    assert submit(laptop, ray, *options, metadata={"genray": metadata}) == 0
    assert ray.submitted[-1]["entrypoint"].endswith(end)


def test_prices_go_to_the_estimate_and_its_lines_are_shown(
    laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = {"gpu_hour_price": 1.5, "cpu_hour_price": 0.05}
    assert submit(laptop, ray, metadata={"genray": prices}) == 0
    assert ray.submitted[0]["entrypoint"].endswith(" --gpu-hour-price 1.5 --cpu-hour-price 0.05")
    assert "8 trials, 12.5 GPU hours" in capsys.readouterr().err


def refused(laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str], *more: object, **changed: object) -> str:
    cluster, space = laptop.cluster(ray.port, **changed), laptop.space()
    line = says(capsys, 2, "cluster", "submit", cluster, space, *more)
    assert not [job for job in ray.submitted if job["metadata"]["genray"] == "sweep"]
    return line


def test_more_gpu_hours_than_allowed_are_refused(
    laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(laptop, ray, capsys, metadata={"genray": {"max_gpu_hours": 10}})
    assert "about 12.5 GPU hours, over max_gpu_hours of 10; lower --trials" in line
    assert "--max-gpu-hours 13" in line
    assert submit(laptop, ray, "--max-gpu-hours", 13, metadata={"genray": {"max_gpu_hours": 10}}) == 0


def test_what_the_estimate_refuses_is_passed_on(
    laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "resources: a run asks for 1 GPU, and the cluster has none; set experiment.resources.gpu to 0"
    ray.ends["estimate"] = {"status": "FAILED", "driver_exit_code": 2, "log": f"x\ngenray: {reason}\n"}
    assert refused(laptop, ray, capsys) == f"genray: {reason}"


def test_a_sweep_that_is_there_is_not_begun_again(
    laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds no sweep tiny, in ~/genray-runs/tiny" in refused(laptop, ray, capsys, "--resume")
    folder = laptop.head / "genray-runs/tiny"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").touch()
    assert "go on with it by --resume, or give another --name" in refused(laptop, ray, capsys)
    assert submit(laptop, ray, "--resume") == 0
    assert ray.submitted[-1]["entrypoint"].endswith(" --resume")
    assert [job["metadata"]["genray"] for job in ray.submitted] == ["sweep"], "what goes on is not measured again"
    ray.submitted.clear()
    assert "is being done by tiny-2" in refused(laptop, ray, capsys, "--resume")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--detach", "--down"], "leave out one"),
        (["--name", "a/b"], "--name takes letters"),
        (["--storage", "here"], "--storage must be s3://bucket/folder"),
        (["--set", "trials"], "--set takes key=value"),
        (["--set", "experiment.epochs=-1"], "greater than 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_reached(
    options: list[str], words: str, laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(laptop, ray, capsys, *options)
    assert not laptop.calls


def test_a_folder_of_ones_own_is_not_written_into(
    laptop: Laptop, ray: FakeRay, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs/tiny").mkdir(parents=True)
    Path("runs/tiny/sweep.yaml").touch()
    assert "runs/tiny holds something else" in refused(laptop, ray, capsys)
    assert not laptop.calls
