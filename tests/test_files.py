import math
from pathlib import Path

import pytest
import yaml

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
        ("a: 1\nb: [3, -010]", "x.yaml, line 2: not valid YAML: an integer must not begin with 0, got -010"),
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


@pytest.mark.parametrize("text", ["1e-4", "-1E+3", "1.e5", "2.5e3", ".5e-1", "+7e0", "1.0e-05", "0.1", "-.5", "0e0"])
def test_numbers_with_an_exponent_are_numbers_with_or_without_a_point(text: str) -> None:
    """As to YAML 1.2 and JSON; to YAML 1.1 most of them are texts."""
    read = files.parse_yaml(f"[{text}]", "x.yaml")
    assert read == [float(text)]
    assert type(read[0]) is float


@pytest.mark.parametrize("text", ["e4", "1e", "1e-4s", "1e4.0", "--1e4", "0x1e3", "'1e-4'", "1-e4", "1_0e3"])
def test_what_is_like_a_number_is_read_as_before(text: str) -> None:
    assert files.parse_yaml(text, "x.yaml") == yaml.safe_load(text)


def test_what_is_written_is_read_as_it_was() -> None:
    value = {
        "texts": ["1e-4", "12e34567", "010", "08", "1.5", "x", "1:30", "null"],
        "numbers": [1e-4, 1e22, 5e-324, 10],
    }
    read = files.parse_yaml(files.to_yaml(value), "x.yaml")
    assert read == value
    assert [type(each) for each in read["numbers"]] == [float, float, float, int]


def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    for name, reason in [("list.yaml", "mapping"), ("bytes.yaml", "UTF-8"), ("none.yaml", "No such file")]:
        with pytest.raises(UserError, match=reason):
            files.read_yaml(tmp_path / name)
