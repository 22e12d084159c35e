"""The page without a browser: whole, offline, safe, and there in every odd case."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
import yaml
from PIL import Image
from plotly.offline import get_plotlyjs

from genray.report import compare, tradeoffs
from genray.report.gallery import typical
from genray.report.pictures import data_uri
from tests.report import fabricate
from tests.report.fabricate import collect, write_controls, write_run, write_search, write_sweep

VOID = {"meta", "link", "img", "br", "line", "input"}


class Page(HTMLParser):
    """Checks that tags are closed in order; keeps links, images and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []  # but for frames
        self.frames: list[dict[str, str | None]] = []
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag == "img":
            (self.frames if given.get("class") == "frame" else self.images).append(given)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if given.get("id"):
            self.ids.append(str(given["id"]))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def page_of(*runs: Path, out: Path, controls: bool = False) -> tuple[str, Page]:
    compare(runs, out, controls=controls)
    text = (out / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.headings[0] == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert all(image["alt"] for image in (*page.images, *page.frames))
    assert len(page.ids) == len(set(page.ids))
    return text, page


@pytest.fixture(scope="module")
def whole(sweep: Path) -> tuple[str, Page]:
    return page_of(sweep, out=sweep / "comparison")


def own(text: str) -> str:
    """The page without Plotly's code."""
    return text.replace(get_plotlyjs(), "")


def test_page_is_one_file_that_loads_nothing(whole: tuple[str, Page]) -> None:
    text, page = whole
    assert len(text.encode()) < 15_000_000
    assert all(str(image["src"]).startswith("data:image/") for image in (*page.images, *page.frames))
    assert not re.search(r"<(script|link|iframe|img)[^>]+(src|href)=[\"'](?!data:)", own(text))
    assert "@import" not in own(text)
    assert "default-src 'none'" in text


def test_every_link_leads_somewhere(whole: tuple[str, Page], sweep: Path) -> None:
    _, page = whole
    runs = [link for link in page.links if not link.startswith("#")]
    assert len(runs) == 4 * 5 + 4 * 8 + 4 + 3 * 3  # finalists, trials, the run that each picture is of
    assert all((sweep / "comparison" / link).is_dir() for link in runs)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_pictures_of_all_models_stand_beside_the_real_ones(whole: tuple[str, Page]) -> None:
    text, page = whole
    alts = [str(image["alt"]) for image in page.images]
    assert alts[0] == "Real images of the test split"
    assert [alt.split(",")[0] for alt in alts[1:5]] == [f"Samples of {m}" for m in ("gan", "vae_gan", "aae", "vae")]
    kinds = ("Reconstructions", "Interpolation", "Codes")
    expected = [f"{kind} of {model}" for kind in kinds for model in ("vae_gan", "aae", "vae")]
    assert [alt.split(",")[0] for alt in alts[5:]] == expected
    assert text.count("No such picture: gan.") == 3
    assert "Latent plane" not in text
    sizes = set()
    for image in page.images[:5]:
        content = base64.b64decode(str(image["src"]).partition(",")[2])
        sizes.add(Image.open(io.BytesIO(content)).size)
    assert len(sizes) == 1


def test_samples_of_earlier_epochs_are_those_of_one_sampler(whole: tuple[str, Page], tmp_path: Path) -> None:
    _, page = whole
    found = [(str(image["alt"]), image["data-epoch"]) for image in page.frames]
    assert found == [
        (f"Samples of {model} after epoch {epoch}", str(epoch))
        for model in ("gan", "vae_gan", "aae", "vae")
        for epoch in (0, 10, 20, 30)
    ]
    assert all("hidden" in image for image in page.frames)
    also = [{"sampled_from": "gmm", "metrics": {"frechet": 3.0}}]
    run = write_run(tmp_path / "run", "vae", result={"also": also})
    Image.new("L", (340, 340)).save(run / "samples_gmm.png")
    _, page = page_of(run, out=tmp_path / "out")
    assert {str(image["alt"]).partition(" after")[0] for image in page.frames} == {"Samples of vae (from prior)"}


def test_without_earlier_pictures_there_is_no_slider(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "vae")
    shutil.rmtree(run / "frames")
    text, page = page_of(run, out=tmp_path / "out")
    assert page.frames == []
    assert "Training time" not in text


def test_scores_stand_under_the_groups_that_metrics_declare(whole: tuple[str, Page]) -> None:
    text, _ = whole
    groups = re.findall(r'<th scope="colgroup" colspan="(\d)">(\w+)</th>', text)
    assert groups == [("4", "fidelity"), ("3", "diversity"), ("1", "likelihood"), ("1", "conditional"), ("2", "cost")]


def test_samples_are_shown_of_each_sampler_and_other_pictures_once(tmp_path: Path) -> None:
    also = [{"sampled_from": "gmm", "metrics": {"frechet": 3.0}}]
    run = write_run(tmp_path / "run", "vae", result={"also": also})
    red = Image.new("RGB", (340, 340), "red")
    red.save(run / "samples_gmm.png")
    text, page = page_of(run, out=tmp_path / "out")
    alts = {str(image["alt"]): str(image["src"]) for image in page.images}
    assert list(alts) == [
        "Real images of the test split",
        "Samples of vae (from gmm), seed 1",
        "Samples of vae (from prior), seed 1",
        "Reconstructions of vae, seed 1",
        "Interpolation of vae, seed 1",
        "Codes of vae, seed 1",
    ]
    content = base64.b64decode(alts["Samples of vae (from gmm), seed 1"].partition(",")[2])
    assert Image.open(io.BytesIO(content)).convert("RGB").getpixel((170, 170)) == (255, 0, 0)
    assert "No such picture" not in text


def test_figures_are_valid_for_plotly(whole: tuple[str, Page]) -> None:
    text, _ = whole
    [content] = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    figures = json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert {name for name in figures if name.startswith("parallel")} == {
        "parallel-0-vae", "parallel-0-gan", "parallel-0-vae_gan", "parallel-0-aae",
    }  # fmt: skip
    assert "curve-frechet" in figures
    named = set(re.findall(r'data-figure="([^"]+)"', text))
    chosen = {f"{cost}-{m}" for cost in tradeoffs.COSTS for m in re.findall(r'<option value="([^"]+)"', text)}
    assert named | chosen == set(figures)
    for figure in figures.values():
        go.Figure(figure)


def test_curves_are_means_and_ranges_of_metrics_jsonl(whole: tuple[str, Page], sweep: Path) -> None:
    [content] = re.findall(r'id="figures">(.*?)</script>', whole[0], re.DOTALL)
    traces = json.loads(content)["curve-frechet"]["data"]
    [line] = [trace for trace in traces if trace.get("name") == "vae"]
    band = traces[traces.index(line) - 1]
    histories = [
        [json.loads(text) for text in (sweep / "vae" / f"finalist_{i}" / "metrics.jsonl").read_text().splitlines()]
        for i in range(5)
    ]
    values = np.array(
        [[row["validation/frechet"] for row in rows if "validation/frechet" in row] for rows in histories]
    )
    np.testing.assert_allclose(line["y"], values.mean(axis=0))
    np.testing.assert_allclose(band["y"], [*values.max(axis=0), *values.min(axis=0)[::-1]])
    assert line["x"] == list(range(0, 41, 5))


def test_what_comes_from_files_is_shown_and_not_run(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
    folder = write_sweep(tmp_path / "a sweep #1 & more", models=("vae",), seeds=0)
    write_search(folder, "gan", fail=evil)
    settings = yaml.safe_load((folder / "sweep.yaml").read_text())
    (folder / "sweep.yaml").write_text(yaml.safe_dump(settings | {"models": ["vae", "gan"]}))
    changes = {"commit": evil, "device": evil, "extractor": {"name": evil, "hash": evil}, "sampled_from": evil}
    for seed in (1, 2):
        write_run(folder / "vae" / f"finalist_{seed}", "vae", seed=seed, dataset=f"folder:{evil}", result=changes)
    text, page = page_of(folder, out=folder / "comparison")
    assert evil not in own(text)
    assert "<img src=x" not in own(text)
    assert len(page.images) == 5  # real images, and four kinds of the only row
    assert any(evil in data for data in page.text)  # and yet it can be read
    runs = [link for link in page.links if not link.startswith("#")]
    assert all("#" not in link and " " not in link for link in runs)
    assert "<script>" not in (folder / "comparison" / "comparison.md").read_text()


def test_one_model_one_seed_no_sweep_no_pictures_no_history(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "gan", result={"floor": {}, "versions": {}, "commit": None, "extractor": None})
    for name in ("samples.png", "real.png", "metrics.jsonl"):
        (run / name).unlink()
    text, page = page_of(run, out=tmp_path / "out")
    assert "± n/a" in text
    assert page.images == []
    assert len(text) < 100_000  # nothing to draw, so no Plotly
    assert not re.search(r"\b(nan|None|undefined)\b", " ".join(page.text), re.IGNORECASE)


def test_without_scripts_the_reader_is_told_once(whole: tuple[str, Page], tmp_path: Path) -> None:
    """Also where there are no learning curves, but other figures."""
    told = "The figures need JavaScript"
    assert whole[0].count(told) == 1
    runs = [write_run(tmp_path / f"{model}-{seed}", model, seed=seed) for model in ("vae", "gan") for seed in (1, 2)]
    for run in runs:
        (run / "metrics.jsonl").unlink()
    text, _ = page_of(*runs, out=tmp_path / "out")
    assert 'id="curves"' not in text
    assert 'id="cost"' in text
    assert text.count(told) == 1


def test_other_numbers_of_trials_are_each_named(tmp_path: Path) -> None:
    first = write_sweep(tmp_path / "first", models=("vae",), seeds=2)
    second = write_sweep(tmp_path / "second", models=("gan",), seeds=3, trials=16)
    settings = (second / "sweep.yaml").read_text()
    (second / "sweep.yaml").write_text(settings.replace("\ntrials: 8", "\ntrials: 16"))
    _, page = page_of(first, second, out=tmp_path / "out")
    text = " ".join(" ".join(page.text).split())
    assert re.search(r"(16 or 8|8 or 16) trials each", text)
    assert re.search(r"(2 or 3|3 or 2) seeds each", text)


def test_failed_model_and_running_trials(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae", "gan"), seeds=1)
    (folder / "gan" / "finalist_0" / "result.json").unlink()
    text, page = page_of(folder, out=tmp_path / "out")
    assert "gan has no row: its finalists were not evaluated" in text
    assert "What mattered" in " ".join(page.text)


def test_twelve_rows_have_styles_of_their_own(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{model}-{hidden}", model, params={"model.hidden": hidden})
        for model in ("vae", "gan", "vae_gan", "aae")
        for hidden in (19, 64, 128)
    ]
    text, _ = page_of(*runs, out=tmp_path / "out")
    [content] = re.findall(r'id="figures">(.*?)</script>', text, re.DOTALL)
    lines = [trace["line"] for trace in json.loads(content)["curve-frechet"]["data"] if "name" in trace]
    assert len({(line["color"], line["dash"]) for line in lines}) == 12


def test_large_pictures_are_made_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "big.png")
    uri = data_uri(tmp_path / "big.png", 40_000)
    assert uri is not None
    kind, _, content = uri.partition(";base64,")
    assert kind == "data:image/webp"
    assert len(base64.b64decode(content)) <= 40_000
    assert data_uri(tmp_path / "none.png", 10) is None


@pytest.mark.slow
def test_500_trials_and_pictures_that_do_not_compress_stay_below_15_mb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_sweep(tmp_path / "sweep", seeds=1, trials=125)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8))
    small = noise.crop((0, 0, 340, 340))
    for run in folder.glob("*/finalist_0"):
        for path in run.glob("*.png"):
            noise.save(path)
        for epoch in range(12):
            small.save(run / "frames" / f"{epoch:05d}.webp", quality=100)
    controls = write_controls(tmp_path)
    for control in controls:
        noise.save(control["samples"])
    monkeypatch.setattr("genray.controls.rows.control_rows", lambda *_: controls)
    text, page = page_of(folder, out=folder / "comparison", controls=True)
    assert text.count('class="state ') == 500 + 4 * 2  # the table, and a line a reason
    assert len(page.frames) > 4
    assert len(page.images) > 4 + len(controls)
    assert 9_000_000 < len(text.encode()) < 15_000_000


@pytest.mark.slow
def test_300_rows_stay_below_15_mb_with_pictures_of_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of noise: nothing compresses worse."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (338, 338), np.uint8))
    noise.save(tmp_path / "noise.png")

    def write_pictures(run: Path, _: str) -> None:
        (run / "frames").mkdir()
        for name in ("real.png", "samples.png", "reconstructions.png", "codes.png", "frames/00000.webp"):
            (run / name).hardlink_to(tmp_path / "noise.png")

    monkeypatch.setattr(fabricate, "write_pictures", write_pictures)
    runs = [
        write_run(tmp_path / str(i), ("vae", "gan", "aae")[i % 3], params={"model.hidden": 20 + i}, level=5 + i)
        for i in range(300)
    ]
    text, page = page_of(*runs, out=tmp_path / "out")
    assert 10_000_000 < len(text.encode()) < 15_000_000
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]
    shown = [str(image["alt"]).removeprefix("Samples of ").partition(", seed")[0] for image in page.images]
    best = 200 // 3  # three pictures of each, and 200 on a page
    assert shown[: 1 + best] == ["Real images of the test split", *[row["label"] for row in rows[:best]]]
    assert len(page.images) == 1 + 3 * best
    assert text.count(f"Pictures are of the {best} best rows of 300.") == 3
    assert "The 32 best rows of 300 have lines." in text


@pytest.mark.parametrize(("metric", "seed"), [("frechet", 2), ("recall", 3)])
def test_shown_run_is_the_middle_one_and_of_two_the_worse(metric: str, seed: int, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(seed), "vae", seed=seed) for seed in (1, 2, 3, 4)]
    for run, value in zip(runs, (0.1, 0.5, 0.4, 0.9), strict=True):  # in the middle: 0.5 of seed 2 and 0.4 of seed 3
        result = json.loads((run / "result.json").read_text())
        result["metrics"][metric] = value
        (run / "result.json").write_text(json.dumps(result))
    [group] = collect(runs).groups
    assert typical(group, metric).seed == seed
