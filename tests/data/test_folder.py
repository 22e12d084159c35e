import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genray.data import datasets
from genray.data.spec import Dataset
from genray.errors import UserError


def picture(seed: int, size: tuple[int, int] = (12, 12)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def fill(folder: Path, count: int, *, first: int = 0, gray: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        image = picture(i).convert("L") if gray else picture(i)
        image.save(folder / f"{i:04}.png")


def load(folder: Path, **keywords: int) -> Dataset:
    return datasets.load(f"folder:{folder}", **keywords)


def only_image(folder: Path, image: Image.Image, name: str = "odd.png", **options: object) -> np.ndarray:
    """What becomes of one image among gray ones: uint8 (3, 8, 8)."""
    fill(folder, 80, gray=True)
    image.save(folder / name, **options)
    data = load(folder, image_size=8)
    (odd,) = (image for split in parts(data) for image in split.images if (image != image[:1]).any())
    return odd


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # of at most 107 bytes


def parts(data: Dataset) -> tuple:
    return data.train, data.validation, data.test


def test_sizes_and_classes(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 60)
    fill(tmp_path / "dog" / "large" / "brown", 140, first=60)
    data = load(tmp_path)
    assert data.spec.shape == (3, 32, 32)
    assert data.class_names == ("cat", "dog")
    assert [len(split) for split in parts(data)] == [140, 20, 40]
    assert [list(np.bincount(split.labels)) for split in parts(data)] == [[42, 98], [6, 14], [12, 28]]


def test_labels_belong_to_their_images(tmp_path: Path) -> None:
    for name, value in (("dark", 20), ("light", 230)):
        (tmp_path / name).mkdir()
        for i in range(50):
            Image.new("L", (9, 9), value).save(tmp_path / name / f"{i}.png")
    data = load(tmp_path, image_size=4)
    assert data.spec.channels == 1
    for split in parts(data):
        assert (split.images.max((1, 2, 3)) == np.where(split.labels == 1, 230, 20)).all()


def test_splits_do_not_depend_on_the_order_of_the_file_system(tmp_path: Path, monkeypatch) -> None:
    fill(tmp_path / "a", 50)
    fill(tmp_path / "b", 50, first=50)
    before = load(tmp_path).fingerprint
    walk = os.walk

    def backwards(*arguments: object, **keywords: object):
        for place, folders, names in walk(*arguments, **keywords):
            folders.reverse()
            yield place, folders, names[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert load(tmp_path).fingerprint == before


def test_no_classes_without_two_subfolders(tmp_path: Path) -> None:
    fill(tmp_path / "all", 100)
    data = load(tmp_path)
    assert data.spec.num_classes == 0
    assert data.train.labels is None


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_folders_named_as_splits_are_the_splits(tmp_path: Path, validation: str) -> None:
    for part, n in (("train", 30), (validation, 10), ("test", 20)):
        for name in ("x", "y"):
            fill(tmp_path / part / name, n)
    data = load(tmp_path)
    assert [len(split) for split in parts(data)] == [60, 20, 40]
    assert data.class_names == ("x", "y")


def test_a_missing_validation_split_is_a_tenth_of_train(tmp_path: Path) -> None:
    fill(tmp_path / "train", 100)
    fill(tmp_path / "test", 10)
    assert [len(split) for split in parts(load(tmp_path))] == [90, 10, 10]


def test_other_folders_beside_train_and_test_make_them_classes(tmp_path: Path) -> None:
    for name in ("train", "test", "bus"):
        fill(tmp_path / name, 40)
    assert load(tmp_path).class_names == ("bus", "test", "train")


def test_gray_images_stored_as_color_are_gray(tmp_path: Path) -> None:
    for i in range(80):
        tmp_path.mkdir(exist_ok=True)
        picture(i).convert("L").convert("RGB").save(tmp_path / f"{i}.png")
    assert load(tmp_path).spec.channels == 1


def test_the_centre_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = (200, 100, 50)
    wide[:, :10] = (0, 255, 0)
    square = only_image(tmp_path, Image.fromarray(wide))
    expected = np.broadcast_to(np.array([200, 100, 50])[:, None, None], (3, 8, 8))
    np.testing.assert_allclose(square, expected, atol=8)  # the filter reaches a little beyond the cut


MODES = {
    "palette": Image.new("RGB", (9, 9), (200, 100, 50)).quantize(4),
    "rgba": Image.new("RGBA", (9, 9), (200, 100, 50, 255)),
    "cmyk": Image.new("RGB", (9, 9), (200, 100, 50)).convert("CMYK"),
}


@pytest.mark.parametrize("mode", list(MODES))
def test_modes_of_color(tmp_path: Path, mode: str) -> None:
    square = only_image(tmp_path, MODES[mode], "odd.tif" if mode == "cmyk" else "odd.png")
    np.testing.assert_allclose(square.mean((1, 2)), [200, 100, 50], atol=2)


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 4))
    square = only_image(tmp_path, image)
    assert (square[:, 0] == 255).all()
    np.testing.assert_array_equal(square[:, -1].mean(1), [255, 0, 0])


GRAYS = {
    "16 bit": (Image.fromarray(np.full((9, 9), 51_400, np.uint16)), 200),
    "8 bit": (Image.new("L", (9, 9), 200), 200),
    "1 bit": (Image.new("1", (9, 9), 1), 255),
    "with alpha": (Image.new("LA", (9, 9), (100, 255)), 100),
    "float": (Image.fromarray(np.full((9, 9), 0.5, np.float32)), 128),
}


@pytest.mark.parametrize("mode", list(GRAYS))
def test_modes_of_gray(tmp_path: Path, mode: str) -> None:
    image, value = GRAYS[mode]
    for i in range(80):
        image.save(tmp_path / f"{i}.tif")
    data = load(tmp_path, image_size=8)
    assert data.spec.channels == 1
    assert (data.train.images == value).all()


def test_orientation_of_a_camera_is_followed(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), (255, 0, 0))
    image.paste((0, 0, 255), (0, 4, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    square = only_image(tmp_path, image, exif=exif)
    assert square[2, 0].mean() > 200 > 50 > square[0, 0].mean()


def test_a_large_jpeg_keeps_its_color(tmp_path: Path) -> None:
    square = only_image(tmp_path, Image.new("RGB", (900, 700), (200, 100, 50)), "odd.jpg", quality=95)
    np.testing.assert_allclose(square.mean((1, 2)), [200, 100, 50], atol=4)


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    for name in (".hidden.png", "._0001.png", "notes.txt", ".git/x.png", "__MACOSX/._0001.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not an image")
    assert sum(map(len, parts(load(tmp_path)))) == 100


def test_a_link_that_leads_back_up_ends(tmp_path: Path) -> None:
    fill(tmp_path / "a", 100)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert sum(map(len, parts(load(tmp_path)))) == 100


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, None])
def test_an_unreadable_image_is_named(tmp_path: Path, content: bytes | None) -> None:
    fill(tmp_path, 100)
    whole = (tmp_path / "0007.png").read_bytes()
    (tmp_path / "0007.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"cannot read the image .*0007\.png: .*; mend or remove it") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_cut_jpeg_is_named(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    picture(0, (64, 64)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-500])
    with pytest.raises(UserError, match=r"cut\.jpg"):
        load(tmp_path)


@pytest.mark.timeout(60, method="thread")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), bind_socket])
def test_what_is_no_regular_file_is_named_and_not_read(tmp_path: Path, make: Callable[[Path], object]) -> None:
    fill(tmp_path, 100)
    make(tmp_path / "z.png")
    with pytest.raises(UserError, match=r"cannot read the image .*z\.png: it is no regular file; remove it"):
        load(tmp_path)


def test_a_name_that_is_not_utf8_is_a_name(tmp_path: Path) -> None:
    fill(tmp_path, 99)
    picture(0).save(tmp_path / os.fsdecode(b"\xff.png"))
    assert sum(map(len, parts(load(tmp_path)))) == 100


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"no images under .*put files there"):
        load(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="is not a folder"):
            load(path)


@pytest.mark.parametrize(("count", "ok"), [(74, False), (75, True)])
def test_each_split_needs_eight_images(tmp_path: Path, count: int, ok: bool) -> None:
    fill(tmp_path, count)
    if ok:
        assert len(load(tmp_path).validation) == 8
    else:
        with pytest.raises(UserError, match="a split needs 8 images or more, validation has 7; add images"):
            load(tmp_path)


def test_an_image_beside_class_folders(tmp_path: Path) -> None:
    fill(tmp_path / "a", 50)
    fill(tmp_path / "b", 50)
    fill(tmp_path, 1)
    with pytest.raises(UserError, match=r"0000\.png lies beside class folders"):
        load(tmp_path)


def test_a_class_without_training_images(tmp_path: Path) -> None:
    for place in ("train/a", "train/b", "test/a", "test/c"):
        fill(tmp_path / place, 20)
    with pytest.raises(UserError, match=r"class 'c' has no images under .*train"):
        load(tmp_path)
