import math
from pathlib import Path

import pytest

from genray import files
from genray.errors import UserError


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state"
    files.write_text(path, "old")

    def fail(file: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_json_refuses_what_other_readers_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"a": math.nan})
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\n\tb: 2", "line 2"),
        ("a: 1\na: 2", "'a' stands twice"),
        ("a: {b: 1, b: 2}", "'b' stands twice"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [1, 2", "line"),
        ("? [1]\n: 2", "not valid YAML"),
        ("a: 0x" + "f" * 5_000, "at most 10000 bits"),
        (
            "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]),
            "100000 values",
        ),
        ("\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 2_000))]), "at most 100 deep"),
        ("a: &a [*a]", "at most 100 deep"),
        ("{a: " * 200 + "}" * 200, "at most 100 deep"),
    ],
)
def test_yaml_that_is_wrong_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        files.parse_yaml(text, "x.yaml")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("x.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    for name, reason in [("list.yaml", "mapping"), ("bytes.yaml", "UTF-8"), ("none.yaml", "No such file")]:
        with pytest.raises(UserError, match=reason):
            files.read_yaml(tmp_path / name)
