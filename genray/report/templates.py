"""What every page is made with: Jinja, strict and escaping, and our own files inlined, so that a page is one file."""

from __future__ import annotations

from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genray.report.plots import MOST_LINES


def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("genray.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["MOST_LINES"] = MOST_LINES
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


def inline(name: str) -> Markup:
    """A file of genray/report, which is not escaped."""
    return Markup(resources.files("genray.report").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704  our own file
