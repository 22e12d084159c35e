"""The secret without which the cluster's Ray takes no command: found where Ray itself looks for it, never shown."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from genray.errors import UserError


def path() -> Path:
    if given := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return Path(given).expanduser()
    return Path.home() / ".ray" / "auth_token"


def make() -> bool:
    """Makes the token if there is none, for this user's eyes only. False where there was one."""
    where = path()
    where.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, whole = tempfile.mkstemp(dir=where.parent)  # for this user's eyes only
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        os.link(whole, where)
    except FileExistsError:
        where.chmod(0o600)
        return False
    finally:
        os.unlink(whole)
    return True


def read() -> str:
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    where = path()
    try:
        if where.stat().st_mode & 0o077:
            where.chmod(0o600)
        token = where.read_text().strip()
    except FileNotFoundError:
        token = ""
    except OSError as error:
        raise UserError(f"cannot read the cluster's token {where}: {error.strerror}; mend its permissions") from None
    if not token:
        raise UserError(
            f"the cluster's token is missing: {where}; copy it from where you ran `ray up`, or make one by "
            f"`genray cluster token` and bring it to the cluster by `ray up`"
        )
    return token
