"""The contract of comparison.json, and that every other form says the same."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from genray import journal
from genray.errors import UserError
from genray.report import compare, comparison, tables, words
from tests.report.fabricate import FLOOR, collect, write_run, write_search, write_sweep

NUMBER = {"type": "number"}
ESTIMATE = {
    "type": "object",
    "required": ["mean", "std", "ci95", "values"],
    "properties": {"mean": NUMBER, "std": {"type": ["number", "null"]}, "ci95": {"type": ["number", "null"]}},
}
SCHEMA = {
    "type": "object",
    "required": [
        "dataset", "split", "versions", "commit", "budget", "num_samples", "extractor", "floor", "rows",
    ],
    "properties": {
        "dataset": {"type": "string"},
        "split": {"const": "test"},
        "versions": {"type": "object", "required": ["torch", "ray", "optuna"]},
        "commit": {"type": "string"},
        "budget": {"type": "object", "required": ["trials", "epochs"]},
        "num_samples": {"type": "integer"},
        "extractor": {"type": "object", "required": ["name", "hash"]},
        "floor": {
            "type": "object",
            "additionalProperties": {"required": ["mean", "ci95"], "properties": {"mean": NUMBER, "ci95": NUMBER}},
        },
        "rows": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "model", "sampled_from", "seeds", "trials", "failed_trials", "num_parameters", "train_seconds",
                    "config", "metrics", "runs",
                ],
                "properties": {
                    "model": {"type": "string"},
                    "sampled_from": {"enum": ["prior", "gmm"]},
                    "seeds": {"type": "array", "items": {"type": "integer"}},
                    "trials": {"type": ["integer", "null"]},
                    "failed_trials": {"type": ["integer", "null"]},
                    "num_parameters": {"type": "integer"},
                    "train_seconds": NUMBER,
                    "config": {"type": "object"},
                    "metrics": {"type": "object", "additionalProperties": ESTIMATE},
                    "runs": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def result(sweep: Path) -> dict[str, Any]:
    return comparison.build(collect([sweep]))


def test_contract(result: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(json.dumps(result, allow_nan=False)), SCHEMA)
    assert [row["model"] for row in result["rows"]] == ["gan", "vae_gan", "aae", "vae"]  # by Fréchet distance
    for row in result["rows"]:
        assert row["seeds"] == [1, 2, 3, 4, 5]
        assert (row["trials"], row["failed_trials"], row["pruned_trials"]) == (8, 1, 3)
        assert all((Path(run) / "result.json").exists() for run in row["runs"])
    assert result["budget"]["trials"] == 8
    assert result["floor"] == FLOOR
    assert result["notes"] == []


def test_numbers_are_those_of_the_result_files(result: dict[str, Any]) -> None:
    for row in result["rows"]:
        for name, found in row["metrics"].items():
            values = [json.loads((Path(run) / "result.json").read_text())["metrics"][name] for run in row["runs"]]
            assert found["values"] == values
            low, high = stats.t.interval(0.95, 4, loc=sum(values) / 5, scale=stats.sem(values))
            assert found["mean"] == pytest.approx((low + high) / 2)
            assert found["ci95"] == pytest.approx((high - low) / 2)


def test_samples_that_begin_with_real_pixels_are_told(tmp_path: Path) -> None:
    given = {"samples_given": "the top half of training images"}
    runs = [write_run(tmp_path / str(seed), "vae", seed=seed, result=given) for seed in (0, 1)]
    runs += [write_run(tmp_path / f"gan{seed}", "gan", seed=seed) for seed in (0, 1)]
    result = comparison.build(collect(runs))
    assert {row["label"]: row["samples_given"] for row in result["rows"]} == {"vae": given["samples_given"], "gan": ""}
    [note] = [note for note in result["notes"] if "given" in note]
    assert note.startswith("vae: its samples are given the top half of training images, and hold real pixels")


def test_csv_holds_the_same_numbers(result: dict[str, Any]) -> None:
    lines = list(csv.DictReader(io.StringIO(tables.csv(result))))
    rows = {row["label"]: row["metrics"] for row in result["rows"]} | {"floor": result["floor"]}
    assert len(lines) == sum(len(metrics) for metrics in rows.values())
    for line in lines:
        found = rows[line["label"]][line["metric"]]
        assert float(line["mean"]) == found["mean"]
        assert float(line["ci95"]) == found["ci95"]
        assert list(map(float, line["values"].split())) == found["values"]
        assert int(line["n"]) == 5


def test_markdown_shows_the_same_numbers(result: dict[str, Any]) -> None:
    text = tables.markdown(result)
    head, _, *lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    names = comparison.metric_names(result)
    assert head[1 : 1 + len(names)] == [tables.metric_head(name) for name in names]
    for line, row in zip(lines, result["rows"], strict=False):
        assert line[0].replace("\\", "") == row["label"]
        for cell, name in zip(line[1:], names, strict=False):
            if name in row["metrics"]:
                mean, ci95 = map(float, cell.strip("*≈ ").split(" ± "))
                assert mean == pytest.approx(row["metrics"][name]["mean"], rel=0.01)
                assert ci95 == pytest.approx(row["metrics"][name]["ci95"], rel=0.06)
            else:
                assert cell == "–"
    assert lines[-1][0] == "real images (floor)"


def test_best_is_marked_once_a_metric_and_by_its_direction(result: dict[str, Any]) -> None:
    table = tables.grid(result)
    for column, name in enumerate(comparison.metric_names(result)):
        marked = [i for i, cells in enumerate(table.cells[:-1]) if cells[column].best]
        means = [row["metrics"][name]["mean"] if name in row["metrics"] else None for row in result["rows"]]
        known = [mean for mean in means if mean is not None]
        if comparison.better(name) == "none" or len(known) < 2:
            assert marked == []
        else:
            best = (min if comparison.better(name) == "lower" else max)(known)
            assert marked == [means.index(best)]


@pytest.mark.parametrize("width", [80, 140])
def test_terminal_table_has_every_row_and_the_floor(result: dict[str, Any], width: int) -> None:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(tables.terminal(result))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for word in ("gan", "vae_gan", "aae", "vae", "floor", "Fréchet distance ↓", "Kernel distance ↓", "0.00661"):
        assert word in text
    assert ("0.00661 ± 0.00063" in text) is (width == 140)
    assert ("±0.00063 " in text) is (width == 80)


def test_many_rows_make_several_tables_of_one_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [20 + i for i in range(12)]
    result = comparison.build(
        collect([write_run(tmp_path / str(size), "vae", params={"model.hidden": size}) for size in sizes])
    )
    made, grid = [], tables.grid
    monkeypatch.setattr(tables, "grid", lambda of: made.append(grid(of)) or made[-1])
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(tables.terminal(result))
    text = console.export_text()
    assert len(made) == 1
    assert re.findall(r"\(hidden=(\d+)\)", text.partition("test split")[2].partition(tables.LEGEND[:20])[0]) == [
        row["label"].partition("=")[2].rstrip(")") for row in result["rows"]
    ]
    assert text.count("digits, test split") > 1


@pytest.mark.parametrize("width", [45, 60, 80, 100])
def test_no_number_is_cut_however_many_models_there_are(tmp_path: Path, width: int) -> None:
    also = [{"sampled_from": "gmm", "metrics": {"frechet": 3.25}}]
    names = ("vae", "aae", "vae_gan", "gan")
    runs = [
        write_run(tmp_path / f"{name}{seed}", name, seed=seed, result={"also": also} if name != "gan" else {})
        for name in names
        for seed in (0, 1)
    ]
    result = comparison.build(collect(runs))
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(tables.terminal(result))
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for cells in tables.grid(result).cells[:-1]:
        for cell in cells:
            assert cell.mean in text
            assert cell.spread.replace(" ", "") in text.replace("± ", "±")


def rows(*estimates: tuple[str, float, float | None]) -> dict[str, Any]:
    made = [
        {"label": label, "metrics": {"frechet": {"mean": mean, "ci95": ci95, "values": [mean]}}}
        for label, mean, ci95 in estimates
    ]
    return {"rows": made, "floor": {"frechet": {"mean": 1.0, "ci95": 0.1}}, "primary": "frechet"}


@pytest.mark.parametrize(
    ("estimates", "standing"),
    [
        ([("a", 4.0, 0.3), ("b", 5.0, 0.4)], "its interval is clear of every other; next b, 5.00 ± 0.40"),
        (
            [("a", 4.0, 0.3), ("b", 4.5, 0.4)],
            "its interval overlaps that of b, so these intervals do not settle which is better",
        ),
        ([("a", 4.0, 0.3), ("b", 4.0, None)], "one seed gives no interval to tell rows apart by; next b, 4.000 ± n/a"),
    ],
)
def test_verdict_claims_no_more_than_the_intervals(estimates: list[Any], standing: str) -> None:
    [verdict] = words.verdicts(rows(*estimates))
    assert verdict.sentence == f"a has the lowest Fréchet distance, 4.00 ± 0.30: {standing}."


def test_verdict_on_a_single_row_compares_with_real_images() -> None:
    [verdict] = words.verdicts(rows(("a", 4.0, 0.3)))
    assert verdict.sentence == "a: Fréchet distance 4.00 ± 0.30; real images score 1.00 ± 0.10."


def test_densities_and_probabilities_are_not_ranked(tmp_path: Path) -> None:
    """A Gaussian bound is a density's, which may be positive; a Bernoulli one a probability's."""
    other = {"model.likelihood": "gaussian"}
    runs = [write_run(tmp_path / f"b{seed}", "vae", seed=seed) for seed in range(2)]
    runs += [write_run(tmp_path / f"g{seed}", "vae", seed=seed, params=other) for seed in range(2)]
    result = comparison.build(collect(runs))
    [elbo] = [verdict for verdict in words.verdicts(result) if verdict.metric == "elbo"]
    assert not elbo.contested
    assert elbo.sentence == "ELBO is not ranked: its rows differ in model.likelihood, and so do not compare."
    [frechet] = [verdict for verdict in words.verdicts(result) if verdict.metric == "frechet"]
    assert frechet.contested
    table = tables.grid(result)
    column = next(i for i, head in enumerate(table.heads) if head.startswith("ELBO"))
    assert not any(cells[column].best or cells[column].tied for cells in table.cells)


@pytest.mark.parametrize(
    ("mean", "ci95", "text"),
    [
        (6.1843, 0.2429, "6.18 ± 0.24"),
        (14.286, 0.994, "14.29 ± 0.99"),
        (11.0, 1.04, "11.0 ± 1.0"),
        (1234.5, 87.0, "1,234 ± 87"),
        (0.00661, 0.00063, "0.00661 ± 0.00063"),
        (-31.01, 0.49, "-31.01 ± 0.49"),
        (3.14159, None, "3.142 ± n/a"),
        (2.0, 0.0, "2.000 ± 0"),
        (1e-9, 1e-10, "1.00e-09 ± 1.0e-10"),
        (-1.0656421, 5.8e-6, "-1.0656421 ± 5.8e-06"),
        (0.0, 5.8e-6, "0 ± 5.8e-06"),
        (-1.125, 2e-17, "-1.12500000000 ± 2.0e-17"),
    ],
)
def test_estimate(mean: float, ci95: float | None, text: str) -> None:
    assert words.estimate(mean, ci95) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (0, "0"), (41234.0, "41,234"), (0.02134, "0.0213"), (1.2e-6, "1.20e-06"), (-3, "-3.00")],
)
def test_number(value: float | None, text: str) -> None:
    assert words.number(value) == text


def test_score_better_than_the_floor_is_flagged(tmp_path: Path) -> None:
    low = {"frechet": {"mean": 50.0, "ci95": 1.0, "values": [50.0] * 5}}
    runs = [write_run(tmp_path / str(seed), "vae", seed=seed, result={"floor": low}) for seed in range(3)]
    [note] = comparison.build(collect(runs))["notes"]
    assert note.startswith("vae: frechet lies below the floor of real images")
    assert "memorized" in note


def test_a_model_that_replays_training_images_is_named(tmp_path: Path) -> None:
    """One that draws a single image over and over is not, and neither is one that keeps to the dense middle."""
    shares = {name: {"mean": mean, "ci95": 0.03} for name, mean in (("nearer_to_training", 0.77), ("copying", 0.5))}
    folders = []
    for model, nearer, copying in (("gan", 1.0, 0.1), ("aae", 0.78, 0.8), ("vae", 0.99, 0.98)):
        for seed in range(3):
            found = {"nearer_to_training": nearer + 0.001 * seed, "copying": copying + 0.001 * seed}
            result = {"floor": shares, "metrics": {"frechet": 20.0 + seed} | found}
            folders.append(write_run(tmp_path / f"{model}{seed}", model, seed=seed, result=result))
    [note] = comparison.build(collect(folders))["notes"]
    assert note.startswith("vae: nearer_to_training lies above that of real images by more than its interval")
    assert note.endswith("such a model replays training images.")


def test_one_seed_has_no_interval_anywhere(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "vae")
    result = compare([run], tmp_path / "out")
    [row] = result["rows"]
    assert row["trials"] is None
    assert all(found["ci95"] is None and found["std"] is None for found in row["metrics"].values())
    for name in ("comparison.json", "comparison.csv", "comparison.md"):
        assert not re.search(r"\bnan\b|Infinity", (tmp_path / "out" / name).read_text(), re.IGNORECASE)
    assert "± n/a" in (tmp_path / "out" / "comparison.md").read_text()
    assert any("One seed only" in note for note in result["notes"])


def test_metric_that_some_runs_lack_is_left_out_loudly(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(seed), "vae", seed=seed) for seed in range(3)]
    path = runs[1] / "result.json"
    path.write_text(re.sub(r'"frechet": [0-9.]+', '"frechet": NaN', path.read_text(), count=1))
    result = comparison.build(collect(runs))
    assert "frechet" not in result["rows"][0]["metrics"]
    assert any("frechet is a number in 2 of 3 runs" in note for note in result["notes"])


def test_different_versions_are_said(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", "vae", seed=0),
        write_run(tmp_path / "b", "gan", seed=0, result={"commit": "other"}),
    ]
    notes = " ".join(comparison.build(collect(runs))["notes"])
    assert "different versions (commit)" in notes


def test_a_second_reading_of_the_test_split_is_said(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"vae{seed}", "vae", seed=seed, result={"test_reads": 1 + seed}) for seed in (0, 1)]
    runs += [write_run(tmp_path / f"gan{seed}", "gan", seed=seed) for seed in (0, 1)]
    result = compare(runs, tmp_path / "out")
    assert [row["test_reads"] for row in result["rows"] if row["model"] == "vae"] == [[1, 2]]
    [note] = [note for note in result["notes"] if "times" in note]
    assert note.startswith("vae: a run of it was scored on the test split 2 times")
    assert note in (tmp_path / "out" / "index.html").read_text()


def test_finalists_that_more_trials_replaced_are_said(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae", "gan"), seeds=2)
    for i in range(3):
        write_run(folder / "gan" / "replaced" / f"finalist_{i}_0", "gan", seed=i + 1)
    [note] = comparison.build(collect([folder]))["notes"]
    assert note.startswith("gan: finalists of fewer trials, 3 in number, had been scored on the test split before")


def test_trials_that_the_journal_has_lost_are_said(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae", "gan"), seeds=2, trials=2)
    assert not comparison.build(collect([folder]))["notes"]
    (folder / "vae" / "trial_0002").mkdir()
    [note] = comparison.build(collect([folder]))["notes"]
    assert note.startswith("vae: study.journal does not know trial_0002: lines at its end are missing")


def test_trials_are_those_of_the_sweep_that_the_runs_came_of(tmp_path: Path) -> None:
    """Not those of another sweep of the same model, and a run that was trained by hand has none."""
    sweeps = [
        write_sweep(tmp_path / name, models=models, seeds=seeds, trials=trials)
        for name, models, seeds, trials in (("a", ("vae", "gan"), 2, 2), ("b", ("vae",), 0, 4))
    ]
    for k in range(2):
        write_run(sweeps[1] / "vae" / f"finalist_{k}", "vae", seed=k + 1, params={"model.hidden": 19})
    by_hand = [write_run(tmp_path / f"hand{k}", "gan", seed=k, params={"model.hidden": 19}) for k in range(2)]
    found = comparison.build(collect([*sweeps, *by_hand]))
    trials = {row["runs"][0]: row["trials"] for row in found["rows"]}
    assert {path.removeprefix(str(tmp_path)): count for path, count in trials.items()} == {
        "/a/vae/finalist_0": 2,
        "/a/gan/finalist_0": 2,
        "/b/vae/finalist_0": 4,
        "/hand0": None,
    }


def test_a_trial_that_begins_while_a_running_sweep_is_read_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae", "gan"), seeds=2, trials=2)
    before = journal.opened

    def opened(*given: Any) -> Any:
        storage = before(*given)
        (folder / "vae" / "trial_0002").mkdir()
        return storage

    monkeypatch.setattr("genray.journal.opened", opened)
    assert not comparison.build(collect([folder]))["notes"]
    assert (folder / "vae" / "trial_0002").exists()


@pytest.mark.parametrize("other", [{"epochs": 10}, {"epochs": None, "budget.seconds": 3.0}, {"budget.images": 46_720}])
def test_runs_of_unequal_budgets_share_no_table(tmp_path: Path, other: dict[str, Any]) -> None:
    """46,720 images are 40 epochs of the digits, but what an epoch is depends on the batch size."""
    runs = [write_run(tmp_path / "a", "vae", seed=0)]
    runs += [write_run(tmp_path / "b", "gan", seed=0, params={"epochs": None} | other)]
    with pytest.raises(UserError, match=r"the runs differ in budget: \"40 epochs\" in .*; or .* --mixed"):
        collect(runs)
    parts = compare(runs, tmp_path / "out", mixed=True)["parts"]
    assert next(part["budget"]["equal"] for part in parts.values()) == "40 epochs"
    assert all(f"budget {part['budget']['equal']}" in name for name, part in parts.items())
    page = (tmp_path / "out" / "index.html").read_text()
    assert all(part["budget"]["equal"] in page for part in parts.values())


def test_equal_budgets_in_seconds_are_compared_and_named(tmp_path: Path) -> None:
    params = {"epochs": None, "budget.seconds": 8.4}
    runs = [write_run(tmp_path / model, model, seed=0, params=params) for model in ("vae", "gan")]
    result = compare(runs, tmp_path / "out")
    assert result["budget"]["equal"] == "8.4 s of training"
    assert result["budget"]["epochs"] is None
    assert "8.4 s of training" in (tmp_path / "out" / "comparison.md").read_text()


def test_model_without_result_is_said(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=2)
    (folder / "sweep.yaml").write_text((folder / "sweep.yaml").read_text().replace("- vae\n", "- vae\n- gan\n", 1))
    write_search(folder, "gan", fail="loss=nan")
    result = comparison.build(collect([folder]))
    assert "loss=nan" in result["without_result"]["gan"]
    assert any(note.startswith("gan has no row: ") for note in result["notes"])


def test_everything_is_written_and_again_without_leftovers(sweep: Path, tmp_path: Path) -> None:
    runs = [sweep / "vae" / "finalist_0", sweep / "gan" / "finalist_0"]
    first = compare(runs, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir() if "tfevents" not in path.name)
    assert names == ["comparison.csv", "comparison.json", "comparison.md", "index.html"]
    content = {name: (tmp_path / name).read_bytes() for name in names}
    assert compare(runs, tmp_path) == first
    assert {name: (tmp_path / name).read_bytes() for name in names} == content
    assert json.loads(content["comparison.json"]) == first


def test_datasets_get_a_table_each_in_every_form(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{dataset}-{model}-{seed}", model, seed=seed, dataset=dataset)
        for dataset in ("digits", "mnist")
        for model in ("vae", "gan")
        for seed in (0, 1)
    ]
    result = compare(runs, tmp_path / "out")
    assert result == compare(runs, tmp_path / "mixed", mixed=True)
    alone = {name: compare(part, tmp_path / name) for name, part in (("digits", runs[:4]), ("mnist", runs[4:]))}
    assert result == {"parts": alone, "summary": result["summary"]}
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == result
    texts = {name: (tmp_path / name / "comparison.md").read_text() for name in ("out", *alone)}
    assert texts["out"].startswith(texts["digits"] + "\n" + texts["mnist"] + "\n# On all datasets\n")
    files = {name: (tmp_path / name / "comparison.csv").read_text() for name in ("out", *alone)}
    lines = {name: list(csv.DictReader(io.StringIO(file))) for name, file in files.items()}
    assert lines["out"] == [{"part": name, **line} for name in alone for line in lines[name]]
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(tables.terminal(result))
    text = console.export_text()
    assert text.index("digits: gan has") < text.index("digits, test split") < text.index("mnist, test split")


def test_mixed_runs_that_compare_are_one_comparison(sweep: Path, tmp_path: Path) -> None:
    assert compare([sweep], tmp_path / "a", mixed=True) == compare([sweep], tmp_path / "b")


def test_out_that_cannot_be_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "vae")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the comparison"):
        compare([run], tmp_path / "file" / "out")
