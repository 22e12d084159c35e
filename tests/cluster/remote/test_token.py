import pytest

from genray.cluster.remote import token
from genray.errors import UserError
from tests.cluster.remote.conftest import Laptop, says


def test_token_is_made_once_for_this_user_alone(laptop: Laptop) -> None:
    token.path().unlink()
    with pytest.raises(UserError, match=r"token is missing: .*auth_token.*`genray cluster token`"):
        token.read()
    assert token.make()
    first = token.read()
    assert len(first) == 64
    assert token.path().stat().st_mode & 0o777 == 0o600
    token.path().chmod(0o644)  # as Ray writes it
    assert not token.make()
    assert (token.read(), token.path().stat().st_mode & 0o777) == (first, 0o600)


def test_token_is_never_shown(laptop: Laptop, capsys: pytest.CaptureFixture[str]) -> None:
    says(capsys, 2, "cluster", "jobs", laptop.cluster(port=1))
    assert "secret" not in capsys.readouterr().err + "".join(laptop.calls)


def test_tokens_of_the_environment_go_first(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    (laptop.path / "other").write_text("from a file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(laptop.path / "other"))
    assert token.read() == "from a file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert token.read() == "given"
