"""What is read, how it is grouped, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from genray.errors import UserError
from genray.report import collect as collecting
from genray.report import comparable
from genray.report.collect import collect_apart, collect_by_dataset
from genray.report.comparison import build
from tests.report.fabricate import COST, collect, write_run, write_search, write_sweep


def refusal(*paths: Path) -> str:
    with pytest.raises(UserError) as caught:
        collect(paths)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_sweep_gives_a_group_a_model_with_its_finalists(sweep: Path) -> None:
    collection = collect([sweep])
    assert [(group.label, len(group.entries)) for group in collection.groups] == [
        ("aae", 5), ("gan", 5), ("vae", 5), ("vae_gan", 5),
    ]  # fmt: skip
    assert [entry.seed for entry in collection.groups[0].entries] == [1, 2, 3, 4, 5]
    assert collection.missing == {}
    assert collection.notes == ()
    assert {model: len(search.trials) for model, search in collection.sweeps[0].searches.items()} == {
        "vae": 8, "gan": 8, "vae_gan": 8, "aae": 8,
    }  # fmt: skip


def test_sweep_and_run_folders_together(sweep: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "mine", "vae", seed=9)
    groups = {group.label: len(group.entries) for group in collect([sweep, run]).groups}
    assert groups == {"aae": 5, "gan": 5, "vae": 6, "vae_gan": 5}


def test_same_folder_twice_counts_once(sweep: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(sweep / "vae" / "finalist_0")
    [group] = collect([sweep / "vae" / "finalist_0", sweep / "vae" / "finalist_0", link]).groups
    assert len(group.entries) == 1


def test_configurations_of_one_model_are_rows_named_by_what_differs(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{hidden}-{seed}", "vae", seed=seed, params={"model.hidden": hidden})
        for hidden in (64, 19)
        for seed in (0, 1)
    ]
    runs.append(write_run(tmp_path / "gan", "gan"))
    labels = {group.label: len(group.entries) for group in collect(runs).groups}
    assert labels == {"gan": 1, "vae (hidden=19)": 2, "vae (hidden=64)": 2}


def test_samplers_of_one_model_are_rows(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / s, "vae", result={"sampled_from": s}) for s in ("prior", "gmm")]
    assert [g.label for g in collect(runs).groups] == ["vae (from gmm)", "vae (from prior)"]


def test_a_run_scored_by_two_samplers_is_two_rows(tmp_path: Path) -> None:
    """The scores are each sampler's own, what the run cost is told once, and its curve is that of the first."""
    also = [{"sampled_from": "gmm", "metrics": {"frechet": 3.5}}]
    runs = [write_run(tmp_path / str(s), "vae", seed=s, result={"also": also}) for s in (0, 1)]
    runs.append(write_run(tmp_path / "gan", "gan", seed=0))
    collection = collect(runs)
    assert [(g.label, g.label_of_runs, len(g.entries)) for g in collection.groups] == [
        ("gan", "gan", 1), ("vae (from gmm)", "vae", 2), ("vae (from prior)", "vae", 2),
    ]  # fmt: skip
    _, gmm, prior = collection.groups
    assert [entry.metrics for entry in gmm.entries] == [{"frechet": 3.5}] * 2
    assert all("recall" in entry.metrics for entry in prior.entries)
    assert [entry.samples_path.name for entry in (gmm.entries[0], prior.entries[0])] == [
        "samples_gmm.png",
        "samples.png",
    ]
    assert [len(entry.history) for entry in (gmm.entries[0], prior.entries[0])] == [0, 41]
    assert build(collection)["budget"]["train_seconds"] == pytest.approx(2 * COST["vae"][1] + COST["gan"][1])


def test_a_run_of_two_samplers_and_a_run_of_one_are_seeds_of_the_same_row(tmp_path: Path) -> None:
    also = [{"sampled_from": "gmm", "metrics": {"frechet": 3.5}}]
    both = {"sampled_from": ["prior", "gmm"]}
    runs = [
        write_run(tmp_path / "a", "vae", seed=0, params=both, result={"also": also}),
        write_run(tmp_path / "b", "vae"),
    ]
    assert {g.label: len(g.entries) for g in collect(runs).groups} == {"vae (from prior)": 2, "vae (from gmm)": 1}


def test_machine_and_checkpoints_do_not_make_another_row(tmp_path: Path) -> None:
    params = {"resources.gpu": 0.25, "checkpoint_every": 1}
    runs = [write_run(tmp_path / "a", "vae", seed=0), write_run(tmp_path / "b", "vae", seed=1, params=params)]
    assert [len(group.entries) for group in collect(runs).groups] == [2]


def test_repeated_seed_is_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, "vae", seed=3) for name in ("a", "b")]
    message = refusal(*runs)
    assert "same seed 3" in message
    assert str(runs[0]) in message
    assert str(runs[1]) in message


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ({"split": "validation"}, ('"test"', '"validation"')),
        ({"fingerprint": "ffff"}, ('"0123456789abcdef"', '"ffff"')),
        ({"extractor": {"name": "classifier", "hash": "other"}}, ("classifier 5f0c1d2e3a4b", "classifier other")),
        ({"classifier": {"name": "classifier", "hash": "other"}}, ("classifier 5f0c1d2e3a4b", "classifier other")),
        ({"num_samples": 100}, ("360", "100")),
    ],
)
def test_mixtures_are_refused_with_both_values(tmp_path: Path, change: dict[str, Any], values: tuple[str, str]) -> None:
    runs = [write_run(tmp_path / "a", "vae", seed=0), write_run(tmp_path / "b", "gan", seed=0, result=change)]
    message = refusal(*runs)
    [key] = change
    assert f"the runs differ in {key}" in message
    assert all(value in message for value in values)
    assert all(str(run) in message for run in runs)


def test_another_version_of_a_metric_is_refused(tmp_path: Path) -> None:
    """Of a metric that both have; a result that does not say is of version 1."""
    runs = [
        write_run(tmp_path / "a", "vae"),
        write_run(tmp_path / "b", "gan", result={"metric_versions": {"frechet": 2, "elbo": 7}}),
    ]
    message = refusal(*runs)
    assert f"differ in the version of frechet: 1 in {runs[0]}, 2 in {runs[1]}" in message
    assert "genray evaluate" in message
    other = write_run(tmp_path / "c", "gan", result={"metric_versions": {"frechet": 1, "elbo": 7}})
    assert len(collect([runs[0], other]).groups) == 2


def test_versions_are_compared_of_whichever_runs_have_the_metric(tmp_path: Path) -> None:
    """The first run lacks it, so that neither of the others differs from the first."""
    results = [
        {"metrics": {"frechet": 5.0}},
        {"metrics": {"frechet": 5.0, "kernel": 0.1}, "metric_versions": {"kernel": 3}},
        {"metrics": {"frechet": 5.0, "kernel": 0.1}, "metric_versions": {"kernel": 4}},
    ]
    runs = [write_run(tmp_path / str(i), "vae", seed=i, result=result) for i, result in enumerate(results)]
    assert f"differ in the version of kernel: 3 in {runs[1]}, 4 in {runs[2]}" in refusal(*runs)
    assert [[e.run.path for e in part.entries] for part in collect_apart(runs).values()] == [runs[:2], runs[2:]]


def test_each_run_is_looked_at_once_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = Counter[str]()
    for module, name in ((comparable, "_texts"), (collecting, "flatten")):
        original = getattr(module, name)

        def counted(of: Any, name: str = name, original: Any = original) -> Any:
            looked_at[name] += 1
            return original(of)

        monkeypatch.setattr(module, name, counted)
    sizes = [20 + i for i in range(12)]
    runs = [write_run(tmp_path / str(size), "vae", params={"model.hidden": size}) for size in sizes]
    assert [group.label for group in collect(runs).groups] == [f"vae (hidden={size})" for size in sizes]
    assert looked_at == {"_texts": 12, "flatten": 12}


def test_apart_each_run_stands_with_those_that_it_compares_with(sweep: Path, tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", "vae", seed=8),
        write_run(tmp_path / "b", "vae", dataset="mnist", result={"fingerprint": "ffff"}),
        write_run(tmp_path / "c", "gan", dataset="mnist", result={"fingerprint": "ffff"}),
        write_run(tmp_path / "d", "gan", dataset="mnist", result={"fingerprint": "ffff", "num_samples": 100}),
        write_run(tmp_path / "e", "aae", result={"metric_versions": {"frechet": 2}}),
    ]
    parts = collect_apart([sweep, *runs])
    assert {name: len(part.entries) for name, part in parts.items()} == {
        "digits, fingerprint 0123456789abcdef, num_samples 360, table 1": 21,
        "mnist, fingerprint ffff, num_samples 360, table 2": 2,
        "mnist, fingerprint ffff, num_samples 100, table 3": 1,
        "digits, fingerprint 0123456789abcdef, num_samples 360, table 4": 1,
    }
    assert [len(part.sweeps) for part in parts.values()] == [1, 0, 0, 0]
    assert all(part.missing == {} for part in parts.values())
    assert list(collect_apart(runs[:3])) == ["digits", "mnist"]
    assert len(collect_apart([sweep])) == 1


def test_apart_a_sweep_without_result_is_missed_once(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae", "gan"), seeds=0)
    runs = [write_run(tmp_path / "a", "vae"), write_run(tmp_path / "b", "gan", dataset="mnist")]
    digits, mnist = collect_apart([*runs, folder]).values()
    assert digits.missing == {"gan": "its finalists were not evaluated"}  # vae has a row: that of the run
    assert mnist.missing == {}


def test_datasets_share_no_collection(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a", "vae"), write_run(tmp_path / "b", "gan", dataset="mnist")]
    parts = collect_by_dataset(runs)
    assert {name: [e.run.path for e in part.entries] for name, part in parts.items()} == {
        "digits": [runs[0]],
        "mnist": [runs[1]],
    }
    assert [*collect_by_dataset(runs[:1])] == [""]


def test_within_a_dataset_of_several_runs_must_compare(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a", "vae"), write_run(tmp_path / "b", "gan", dataset="mnist")]
    runs.append(write_run(tmp_path / "c", "vae", dataset="mnist", result={"num_samples": 10}))
    with pytest.raises(UserError, match=r"differ in num_samples: 360 in .*b, 10 in .*c;"):
        collect_by_dataset(runs)


def test_extractor_recipe_may_be_told_in_other_words(tmp_path: Path) -> None:
    extractor = {"name": "classifier", "hash": "5f0c1d2e3a4b", "recipe": {"epochs": 3}}
    runs = [write_run(tmp_path / "a", "vae"), write_run(tmp_path / "b", "gan", result={"extractor": extractor})]
    assert len(collect(runs).groups) == 2


def test_nothing_given() -> None:
    assert "nothing to compare" in refusal()


def test_not_a_folder_and_not_a_run(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "nowhere")
    assert "holds no experiment.yaml" in refusal(tmp_path)


def test_folder_of_runs_names_them(sweep: Path) -> None:
    assert f"give {sweep / 'vae' / 'finalist_0'}" in refusal(sweep / "vae")


def test_run_without_result_names_the_command(tmp_path: Path) -> None:
    run = write_run(tmp_path / "my run", "vae", evaluated=False)
    assert f"run `genray evaluate '{run}'`" in refusal(run)


@pytest.mark.parametrize("content", ["", '{"split": "te', "[]", "3"])
def test_half_written_result_is_named(tmp_path: Path, content: str) -> None:
    run = write_run(tmp_path / "run", "vae")
    (run / "result.json").write_text(content)
    message = refusal(run)
    assert str(run / "result.json") in message
    assert f"genray evaluate {run}" in message


@pytest.mark.parametrize("key", ["metrics", "num_samples"])
def test_result_that_lacks_a_key_is_named(tmp_path: Path, key: str) -> None:
    run = write_run(tmp_path / "run", "vae")
    result = json.loads((run / "result.json").read_text())
    del result[key]
    (run / "result.json").write_text(json.dumps(result))
    assert f"lacks '{key}'" in refusal(run)


def test_finalist_without_result_is_left_out_loudly(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=3)
    (folder / "vae" / "finalist_1" / "result.json").unlink()
    collection = collect([folder])
    assert [entry.seed for entry in collection.groups[0].entries] == [1, 3]
    [note] = collection.notes
    assert "finalist_1" in note


def test_model_whose_trials_all_failed_is_missing_with_the_reason(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=2)
    settings = (folder / "sweep.yaml").read_text().replace("models:\n- vae", "models:\n- vae\n- gan\n- aae")
    (folder / "sweep.yaml").write_text(settings)
    write_search(folder, "gan", fail="the loss is not finite at step 3")
    missing = collect([folder]).missing
    assert "the loss is not finite at step 3" in missing["gan"]
    assert missing["aae"] == "no trial was started"


def test_sweep_without_any_result(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=0)
    message = refusal(folder)
    assert "vae: its finalists were not evaluated" in message
    assert "--resume" in message


def test_damaged_journal_is_named(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=1)
    lines = (folder / "study.journal").read_text().splitlines(keepends=True)
    (folder / "study.journal").write_text("".join(["{broken\n", *lines]))
    assert str(folder / "study.journal") in refusal(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [("hello\n", "is not JSON"), ("", "must hold the search of each model with finalists, got none of vae")],
)
def test_a_journal_that_is_none_is_named(tmp_path: Path, content: str, words: str) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=1)
    (folder / "study.journal").write_text(content)
    assert words in refusal(folder)


def test_the_journal_of_another_sweep_is_named(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=1)
    other = write_sweep(tmp_path / "other", models=("vae", "gan"), seeds=0)
    shutil.copy(other / "study.journal", folder / "study.journal")
    assert "models that sweep.yaml names, got gan; put the sweep's own journal in its place" in refusal(folder)


def test_replaced_finalists_do_not_count(sweep: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(sweep, folder)
    (folder / "vae" / "replaced").mkdir()
    write_run(folder / "vae" / "replaced" / "finalist_0_0", "vae", seed=1, params={"model.hidden": 19})
    assert [group.label for group in collect([folder]).groups] == ["aae", "gan", "vae", "vae_gan"]
