import re

import pytest

from genray.cli import main
from genray.cli.cluster import cluster

COMMANDS = ("submit", "attach", "jobs", "stop", "fetch", "board", "doctor", "token")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", command, "--help"]) == 0
    assert re.search(rf"Examples?:\n +genray cluster {command}\b", capsys.readouterr().out)


def test_these_are_all_commands() -> None:
    assert {command.callback.__name__ for command in cluster.registered_commands if command.callback} == set(COMMANDS)


def test_without_a_command_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster"]) == 2
    assert capsys.readouterr().err == "genray: Missing command. (see `genray cluster --help`)\n"
