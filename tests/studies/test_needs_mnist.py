"""Studies on MNIST where it is not: one line, and nothing is downloaded."""

from importlib import import_module
from pathlib import Path

import pytest

from genray.errors import UserError

STUDIES = ["iwae", "jmvae", "parzen", "progan_ablation", "stacked_mnist"]


@pytest.mark.parametrize("name", STUDIES)
def test_without_mnist_it_is_refused_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRAY_DATA", str(tmp_path))
    with pytest.raises(UserError, match=rf"^study {name} needs mnist, which is not in {tmp_path}; set GENRAY_DATA"):
        import_module(f"genray.studies.{name}").parts("quick")
