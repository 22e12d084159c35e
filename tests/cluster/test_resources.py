import pytest

pytestmark = pytest.mark.ray  # imports it


@pytest.mark.parametrize(
    ("cpu", "gpu", "node", "rooms"),
    [
        (1, 0, {"CPU": 8.0}, 8),
        (2, 0, {"CPU": 7.0}, 3),
        (0.5, 0, {"CPU": 2.0}, 4),
        (1, 0.25, {"CPU": 8.0, "GPU": 1.0}, 4),
        (1, 0.4, {"CPU": 8.0, "GPU": 2.0}, 4),  # two on each: a run lies on one GPU
        (1, 2, {"CPU": 8.0, "GPU": 3.0}, 1),
        (1, 1, {"CPU": 8.0}, 0),
        (0.1, 0, {"CPU": 1.0}, 10),
    ],
)
def test_room_for_counts_whole_runs(cpu: float, gpu: float, node: dict[str, float], rooms: int) -> None:
    from genray.cluster.resources import room_for

    assert room_for({"CPU": cpu, "GPU": gpu}, node) == rooms


def test_an_address_where_no_cluster_answers_is_refused_in_one_line() -> None:
    from genray.cluster.resources import connected
    from genray.errors import UserError

    with pytest.raises(UserError, match="--address") as error, connected("127.0.0.1:1", data_bytes=0, verbose=False):
        pass
    assert "\n" not in str(error.value)
