"""What a user can mend: one line that states the rule, the value and the fix."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input. The command line prints it as one line, without a traceback, and exits with code 2."""

    def __str__(self) -> str:
        """What was given may hold line breaks and codes that a terminal would obey: they are shown as \\n, \\x1b."""
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in super().__str__())


class Fault(RuntimeError):
    """A run that could not go on (not a finite loss, a lost worker): one line that says what was saved; exit code 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where a known name is close to `name`, and the known names in any case."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{guess} (known: {', '.join(known)})"
