import hashlib

import numpy as np
import pytest

from genray.data.spec import Split
from genray.data.splits import draw, split_off, three_way


def test_each_class_gives_its_share_and_the_sum_is_exact() -> None:
    labels = np.repeat([0, 1, 2], [10, 50, 143]).astype(np.int64)
    mask = draw([str(i) for i in range(203)], labels, 41)
    chosen = np.bincount(labels[mask])
    assert mask.sum() == 41
    np.testing.assert_allclose(chosen, np.array([10, 50, 143]) * 41 / 203, atol=1)


def test_the_choice_follows_the_keys_not_the_order() -> None:
    random = np.random.default_rng(0)
    keys, labels = np.array([f"cat/{i}.png" for i in range(100)]), random.integers(0, 3, 100)
    order = random.permutation(100)
    first = set(keys[draw(list(keys), labels, 30)])
    assert set(keys[order][draw(list(keys[order]), labels[order], 30)]) == first


def test_without_labels_all_images_are_one_group() -> None:
    assert draw([str(i) for i in range(10)], None, 3).sum() == 3


@pytest.mark.parametrize("labels", [None, np.arange(50, dtype=np.int64) % 4])
def test_parts_are_disjoint_and_complete(labels: np.ndarray | None) -> None:
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    parts = three_way(images, labels, [str(i) for i in range(50)], validation=0.1, test=0.2)
    assert [len(part) for part in parts] == [35, 5, 10]
    assert sorted(np.concatenate([part.images for part in parts]).ravel()) == list(range(50))
    if labels is not None:
        for part in parts:
            assert (part.labels == labels[part.images.ravel()]).all()


def test_split_off_keeps_the_order() -> None:
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    rest, chosen = split_off(Split(images), [str(i) for i in range(20)], 5)
    assert (np.diff(rest.images.ravel()) > 0).all()
    assert (np.diff(chosen.images.ravel()) > 0).all()


def test_a_key_that_is_not_utf8_counts_by_its_bytes() -> None:
    keys = [*map(str, range(9)), "\udcff.png"]
    ranks = [hashlib.sha256(key.encode()).hexdigest() for key in keys[:-1]]
    ranks.append(hashlib.sha256(b"\xff.png").hexdigest())
    assert set(np.flatnonzero(draw(keys, None, 4))) == set(np.argsort(ranks)[:4])
