import subprocess
from pathlib import Path

import pytest

from tests.test_launch import Checkout


@pytest.mark.parametrize("name", ["submit", "board"])
def test_launcher_sets_up_and_hands_its_arguments_on(name: str, tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "elsewhere").mkdir()
    checkout = Checkout(tmp_path / "checkout")
    checkout.stub_uv()
    command = [checkout.path / "launch" / name, "my cluster.yaml", "--down"]
    environment = {"PATH": str(checkout.tools)}
    subprocess.run(command, cwd=tmp_path / "elsewhere", env=environment, check=True, stdout=subprocess.DEVNULL)
    assert checkout.count("pip") == 1
    assert (tmp_path / "elsewhere/calls").read_text() == f"genray cluster {name} my cluster.yaml --down\n", (
        "paths are those of the folder that it is called from"
    )
