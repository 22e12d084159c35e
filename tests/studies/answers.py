"""What every answer, and every list of parts, is to be."""

from types import ModuleType

from genray.report.answer import Answer


def check_answer(answer: Answer) -> None:
    """Every row has all columns, figures are there, and no picture is among the data."""
    for table in answer.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert answer.figures
    assert answer.summary
    assert not any(key in run for run in answer.data["runs"] for key in ("samples", "images_by_label"))


def check_parts(study: ModuleType, real: str) -> None:
    """Names of their own that are good for a file, seeds one after the other, a GPU for all but `real` images."""
    for budget in ("quick", "full"):
        parts = study.parts(budget)
        assert len({part.name for part in parts}) == len(parts)
        assert not any(set(part.name) & set(" ,/=()*+") for part in parts)
        seeds = [part.arguments["seeds"] for part in parts]
        assert seeds == sorted(seeds)
        assert all(part.gpu == (part.arguments["label"] != real) for part in parts)
