"""Several datasets: ranks and distances against sums by hand, intervals against draws."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from genray.intervals import summarize
from genray.report import compare, summary
from tests.report.fabricate import write_run


def part(dataset: str, floor: float | None, metric: str = "frechet", **values: list[float]) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "primary": metric,
        "floor": {} if floor is None else {metric: summarize([floor, floor])},
        "rows": [{"label": m, "model": m, "metrics": {metric: summarize(v)}} for m, v in values.items()],
    }


TWO = {
    "digits": part("digits", 1.0, vae=[9.0, 11.0], gan=[4.9, 5.1], aae=[5.0, 7.0]),
    "mnist": part("mnist", 2.0, vae=[42.0, 42.2], gan=[62.0, 62.4]),
}


def row(found: dict[str, Any], label: str) -> dict[str, Any]:
    [one] = [one for one in found["rows"] if one["label"] == label]
    return one


def test_ranks_and_distances_are_those_by_hand() -> None:
    """On the digits gan is 4 and vae 9 from the floor, 6.5 on average; aae stands in one table and moves no divisor."""
    found = summary.of_datasets(TWO)
    assert found is not None
    assert (found["metric"], found["datasets"]) == ("frechet", ["digits", "mnist"])
    vae, gan, aae = (row(found, name) for name in ("vae", "gan", "aae"))
    assert [one["datasets"]["digits"]["rank"] for one in (gan, aae, vae)] == [1, 2, 3]
    assert [one["datasets"]["mnist"]["rank"] for one in (vae, gan)] == [1, 2]
    digits = {one["label"]: one["datasets"]["digits"]["distance"]["mean"] for one in found["rows"]}
    assert digits == pytest.approx({"gan": 4 / 6.5, "vae": 9 / 6.5, "aae": 5 / 6.5})
    mnist = {one["label"]: one["datasets"]["mnist"]["distance"]["mean"] for one in (vae, gan)}
    assert mnist == pytest.approx({"vae": 40.1 / 50.15, "gan": 60.2 / 50.15})
    assert gan["distance"]["mean"] == pytest.approx((4 / 6.5 + 60.2 / 50.15) / 2)
    assert (gan["mean_rank"], vae["mean_rank"]) == (1.5, 1.5)  # aae between them does not count
    assert (aae["mean_rank"], aae["distance"]) == (None, None)
    assert gan["distance"]["mean"] < vae["distance"]["mean"]
    assert [one["label"] for one in found["rows"]] == ["gan", "vae", "aae"]


def test_ranks_in_brackets_are_what_intervals_allow() -> None:
    """a is clear of c and d; b touches all; c and d touch each other."""
    estimates = {
        name: {"mean": mean, "ci95": half}
        for name, mean, half in (("a", 1.0, 1.0), ("b", 3.0, 2.0), ("c", 5.0, 1.0), ("d", 6.0, 1.5))
    }
    found = {name: summary._ranks(name, estimates) for name in estimates}
    assert found == {"a": [1, 2], "b": [1, 4], "c": [2, 4], "d": [2, 4]}


def test_units_and_places_of_a_score_do_not_count() -> None:
    """A score turned over, stretched and moved, floor and all, gives the same summary."""
    turned = {
        name: part(
            one["dataset"],
            5 - 3 * one["floor"]["frechet"]["mean"],
            "precision",
            **{r["label"]: [5 - 3 * v for v in r["metrics"]["frechet"]["values"]] for r in one["rows"]},
        )
        for name, one in TWO.items()
    }
    one, other = summary.of_datasets(TWO), summary.of_datasets(turned)
    assert one is not None
    assert other is not None
    for mine, theirs in zip(one["rows"], other["rows"], strict=True):
        assert (mine["label"], mine["mean_rank"]) == (theirs["label"], theirs["mean_rank"])
        for name in mine["datasets"]:
            a, b = (r["datasets"][name]["distance"] for r in (mine, theirs))
            assert a["mean"] == pytest.approx(b["mean"])
            assert a["ci95"] == pytest.approx(b["ci95"])


def test_the_interval_over_datasets_holds_the_mean_as_often_as_it_says() -> None:
    """Of two datasets with 3 and 6 seeds of different spread: in 95 % of 4,000 draws."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(4_000):
        found = summary.mean_of([summarize(rng.normal(1, 1, 6).tolist()), summarize(rng.normal(3, 0.5, 3).tolist())])
        held += abs(found["mean"] - 2) <= found["ci95"]
    assert held / 4_000 == pytest.approx(0.95, abs=0.015)


def test_of_equal_spreads_and_seeds_it_is_the_pooled_interval() -> None:
    """Welch's degrees of freedom are then 2 (n - 1), as in Student's test of two samples."""
    values = [1.0, 2.0, 4.0, 5.0]
    found = summary.mean_of([summarize(values), summarize([v + 7 for v in values])])
    low, high = stats.ttest_ind(values, [-v - 7 for v in values]).confidence_interval(0.95)
    assert found["mean"] == pytest.approx((low + high) / 4)
    assert found["ci95"] == pytest.approx((high - low) / 4)


@pytest.mark.parametrize(
    "parts",
    [
        {"digits": TWO["digits"]},
        {"a": TWO["digits"], "b": TWO["digits"]},  # the same dataset twice: --mixed
        {"a": TWO["digits"], "b": part("mnist", 1.0, "class_entropy", vae=[1.0, 2.0])},
    ],
)
def test_where_nothing_can_be_summarized_there_is_none(parts: dict[str, Any]) -> None:
    assert summary.of_datasets(parts) is None


def test_without_a_floor_or_seeds_there_is_a_rank_alone() -> None:
    found = summary.of_datasets({"a": part("a", None, vae=[2.0], gan=[1.0]), "b": part("b", 0.5, vae=[2.0], gan=[1.0])})
    assert found is not None
    gan = row(found, "gan")
    assert (gan["mean_rank"], gan["distance"]) == (1.0, None)
    assert gan["datasets"]["a"]["distance"] is None
    assert gan["datasets"]["b"]["distance"]["ci95"] is None
    assert gan["datasets"]["a"]["ranks"] == [1, 2]  # one seed tells nothing apart


def test_page_and_markdown_show_it(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{d}-{m}-{seed}", m, dataset=d, seed=seed, level=level)
        for d, m, level in (
            ("digits", "vae", 14.0),
            ("digits", "gan", 6.0),
            ("mnist", "vae", 8.0),
            ("mnist", "gan", 30.0),
        )
        for seed in (0, 1, 2)
    ]
    found = compare(runs, tmp_path / "out")["summary"]
    page = (tmp_path / "out" / "index.html").read_text()
    section = re.search(r'<section id="summary">.*?</section>', page, re.DOTALL)
    assert section is not None
    cells = re.findall(r"<t[hd](?: scope=\"row\")?>([^<]*)</t[hd]>", section[0].split("<tbody>")[1])
    assert cells[0] == found["rows"][0]["label"]
    places = found["rows"][0]["datasets"]
    assert cells[1].startswith(str(places["digits"]["rank"]))
    assert float(cells[2].split(" ± ")[0]) == pytest.approx(places["digits"]["distance"]["mean"], rel=0.05)
    assert float(cells[4].split(" ± ")[0]) == pytest.approx(places["mnist"]["distance"]["mean"], rel=0.05)
    assert "--mixed" not in page
    table = (tmp_path / "out" / "comparison.md").read_text().split("# On all datasets")[1]
    assert all(f"| {one['label']} | " in table for one in found["rows"])
