from pathlib import Path

import pytest

from genray.cluster.remote import settings
from genray.cluster.remote.settings import Place, place
from genray.errors import UserError
from tests.cluster.remote.conftest import Laptop


def test_settings_stand_under_rays_free_key(laptop: Laptop) -> None:
    given = {"storage": "s3://bucket/sweeps", "max_gpu_hours": 20, "gpu_hour_price": 1.5}
    known = settings.read(laptop.cluster(metadata={"genray": given}))
    assert (known.name, known.settings.storage, known.settings.max_gpu_hours) == ("lab", "s3://bucket/sweeps", 20)
    assert settings.read(laptop.cluster(metadata={})).settings.storage is None


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (None, Place("~/genray-runs/quick", None)),
        ("shared", Place("~/genray-runs/quick", "shared")),
        ("/mnt/all/", Place("/mnt/all/quick", "shared")),
        ("s3://bucket/a", Place("~/genray-runs/quick", "s3://bucket/a")),
        ("gs://bucket", Place("~/genray-runs/quick", "gs://bucket")),
        (
            "s3://b/a?scheme=http&endpoint_override=h:1",
            Place("~/genray-runs/quick", "s3://b/a?scheme=http&endpoint_override=h:1"),
        ),
    ],
)
def test_place_of_a_sweep(storage: str | None, expected: Place) -> None:
    assert place("quick", settings.check_storage(storage)) == expected


@pytest.mark.parametrize("storage", ["s3:/bucket", "bucket", "runs/here", "s3://", "ftp://x/y", 5, "s3://a b/c"])
def test_what_is_no_storage_is_refused_with_the_fix(storage: object, laptop: Laptop) -> None:
    with pytest.raises(UserError, match=r"cluster.yaml: metadata.genray: storage: storage must be s3://bucket/folder"):
        settings.read(laptop.cluster(metadata={"genray": {"storage": storage}}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cluster_name: x\n", "it lacks cluster_name or provider; give the file that `ray up` was given"),
        ("models: [vae]\n", "it is a search space, which comes second"),
        ("cluster_name: x\nprovider: {type: local}\ndocker: {image: x}\n", "leave `docker` out"),
        ("cluster_name: x\nprovider: {type: local}\nmetadata: {genray: 5}\n", "must hold keys such as storage"),
        (
            "cluster_name: x\nprovider: {type: local}\nmetadata: {genray: {max_gpu_hour: 5}}\n",
            "did you mean 'max_gpu_hours'",
        ),
        ("cluster_name: x\nprovider: {type: local}\nmetadata: {genray: {max_gpu_hours: 0}}\n", "greater than 0"),
        ("cluster_name: [\n", "not valid YAML"),
    ],
)
def test_what_is_no_cluster_is_refused_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        settings.read(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
