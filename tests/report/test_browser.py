"""The page in a real Chromium: what it draws, what it asks the network for, and whether it fits a phone."""

from __future__ import annotations

import base64
import json
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from genray import metrics
from genray.report import compare, comparison, words
from tests.report import pdf
from tests.report.fabricate import CONTROLS, SPACE, write_controls, write_run, write_sweep

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser

WAIT_S = 30


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the Python package selenium")
    programs = {
        package: shutil.which(name) for package, name in (("chromium", "chromium"), ("chromium-driver", "chromedriver"))
    }
    if missing := [package for package, path in programs.items() if path is None]:
        pytest.skip(f"needs Debian's package {' and '.join(missing)}")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs["chromium-driver"]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(sweep: Path, browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the sweep and controls, loaded once, with every figure drawn; its logs are still unread."""
    out, rows = sweep / "comparison", write_controls(tmp_path_factory.mktemp("controls"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genray.controls.rows.control_rows", lambda *_: rows)
        compare([sweep], out, controls=True)
    show(browser, out, width=1400)
    draw(browser)
    return out


def show(browser: Chrome, out: Path, *, width: int, dark: bool = False) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get((out / "index.html").as_uri())


def draw(browser: Chrome, selector: str = "[data-figure]") -> None:
    """Scrolls to each figure, as a reader would, and waits until it is there."""
    from selenium.webdriver.support.ui import WebDriverWait

    places = browser.find_elements("css selector", selector)
    assert places
    for place in places:
        browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", place)
        WebDriverWait(browser, WAIT_S, 0.05).until(lambda _, place=place: place.find_elements("css selector", "svg"))


def test_nothing_is_wrong_and_nothing_is_fetched(page: Path, browser: Chrome) -> None:
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert {url for url in urls if not url.startswith("data:")} == {(page / "index.html").as_uri()}


def test_table_shows_comparison_json(page: Path, browser: Chrome) -> None:
    result = json.loads((page / "comparison.json").read_text())
    script = """return [...document.querySelectorAll("table.scores tr")].map(
        row => [...row.cells].map(cell => cell.innerText.replace(/\\s+/g, " ").trim()))"""
    groups, heads, *lines = browser.execute_script(script)
    assert groups == ["", "fidelity", "diversity", "likelihood", "conditional", "cost"]
    names = [name for members in comparison.grouped(result).values() for name in members]
    assert [head.rstrip(" ↓↑") for head in heads[1:]] == [*map(columns, names), "parameters", "training a run"]
    rows = [*result["rows"], *result["controls"]]
    shown: list[dict[str, Any]] = [*rows, {"metrics": result["floor"]}]
    controls = [f"{name.replace('_', ' ')} (control)" for name in CONTROLS]
    assert [line[0] for line in lines] == [r["label"] for r in result["rows"]] + controls + ["real images (floor)"]
    assert [line[-2] for line in lines] == [f"{row['num_parameters']:,}" for row in rows] + ["–"]
    assert [line[-1] for line in lines] == [words.duration(row["train_seconds"]) for row in rows] + ["–"]
    for line, row in zip(lines, shown, strict=True):
        for text, name in zip(line[1:-2], names, strict=True):
            if name not in row["metrics"]:
                assert text == "–"
                continue
            mean, ci95 = map(float, text.replace(" ≈", "").split(" ± "))
            assert mean == pytest.approx(row["metrics"][name]["mean"], rel=0.01)
            assert ci95 == pytest.approx(row["metrics"][name]["ci95"], rel=0.06)


def columns(name: str) -> str:
    return f"{words.title(name)} ↑ nats" if name == "elbo" else f"{words.title(name)} {words.unit(name)}".strip()


def test_every_picture_is_drawn_and_every_kind_can_be_reached(page: Path, browser: Chrome) -> None:
    sizes = browser.execute_script(
        "return [...document.images].filter(i => !i.hidden).map(image => [image.naturalWidth, image.clientWidth])"
    )
    assert len(sizes) == 1 + 4 + 4 + 3 * 3  # real images; samples of models and controls; three kinds of three models
    assert all(own > 0 and shown > 50 for own, shown in sizes)
    links = browser.execute_script("return [...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))")
    assert {"#samples", "#reconstructions", "#interpolation", "#codes"} <= set(links)


def test_figures_have_a_line_for_each_model_and_trial(page: Path, browser: Chrome) -> None:
    count = "return document.querySelectorAll(`[data-figure='${arguments[0]}'] .scatterlayer .trace`).length"
    assert browser.execute_script(count, "curve-frechet") == 2 * 4  # a band and a line for each model
    lines = "return document.querySelectorAll(`[data-figure='${arguments[0]}'] .scatterlayer .js-line`).length"
    assert browser.execute_script(lines, "parallel-0-vae") == 7  # of 8 trials, one failed without a score


def test_every_point_of_a_trial_has_its_text(page: Path, browser: Chrome) -> None:
    """By what is written beside the axes: the text of a point holds the value that stands there."""
    show(browser, page, width=1400)
    draw(browser, "[data-figure='parallel-0-vae']")
    traces, axes = browser.execute_script(
        """const place = document.querySelector("[data-figure='parallel-0-vae']");
           return [place.data.map(({x, y, hovertext}) => ({x, y, hovertext})), place.layout.annotations]"""
    )
    ticks = {note["text"]: note["y"] for note in axes if note["x"] == 0 and "<b>" not in note["text"]}
    assert set(ticks) == {"19", "64", "128"}
    seen = set()
    for trace in traces:
        assert len(trace["hovertext"]) == len(trace["x"])
        for x, y, text in zip(trace["x"], trace["y"], trace["hovertext"], strict=True):
            seen.add(text.partition(":")[0])
            if x == 0:
                [hidden] = re.findall(r"model\.hidden = (\d+)", text)
                assert ticks[hidden] == y
    assert seen == {f"trial {number}" for number in range(8) if number != 5}


def test_links_lead_to_run_folders(page: Path, browser: Chrome, sweep: Path) -> None:
    hrefs = browser.execute_script("return [...document.querySelectorAll('a.run')].map(a => a.href)")
    paths = [Path(unquote(urlparse(href).path)) for href in hrefs]
    assert sorted(paths) == sorted(
        sweep / m / f"finalist_{i}" for m in ("aae", "gan", "vae", "vae_gan") for i in range(5)
    )
    assert all((path / "result.json").is_file() for path in paths)


@pytest.mark.parametrize("width", [360, 390, 1400])
def test_nothing_sticks_out_sideways(page: Path, browser: Chrome, width: int) -> None:
    show(browser, page, width=width)
    draw(browser)
    assert browser.execute_script("return innerWidth") == width  # a phone would zoom out over what sticks out
    widths = browser.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert widths[0] == widths[1]


def test_dark_and_light_are_both_readable(page: Path, browser: Chrome) -> None:
    for dark in (False, True):
        show(browser, page, width=1400, dark=dark)
        draw(browser, "[data-figure='curve-frechet']")
        back, front, tick = browser.execute_script(
            """const root = getComputedStyle(document.documentElement);
               const tick = document.querySelector("[data-figure='curve-frechet'] .xtick text");
               return [root.backgroundColor, root.color, getComputedStyle(tick).fill]"""
        )
        assert (luminance(back) < 0.1) is dark
        assert contrast(back, front) > 7
        assert contrast(back, tick) > 4.5


def test_a_heading_sorts_by_its_better_end_then_by_the_other(page: Path, browser: Chrome) -> None:
    show(browser, page, width=1400)
    rows = json.loads((page / "comparison.json").read_text())["rows"]
    by_recall = [row["label"] for row in sorted(rows, key=lambda row: -row["metrics"]["recall"]["mean"])]
    by_cost = [row["label"] for row in sorted(rows, key=lambda row: row["num_parameters"])]
    assert sorted_by(browser) == ("Fréchet distance", "ascending")
    press(browser, "Recall")
    assert (labels(browser), sorted_by(browser)) == (by_recall, ("Recall", "descending"))
    press(browser, "Recall")
    assert (labels(browser), sorted_by(browser)) == (by_recall[::-1], ("Recall", "ascending"))
    press(browser, "parameters", key="\ue007")  # by the keyboard: Enter
    assert (labels(browser), sorted_by(browser)) == (by_cost, ("parameters", "ascending"))
    for _ in range(2):  # rows without a score stay last, whichever end is first
        press(browser, "ELBO")
        assert labels(browser)[0] == "vae"


def test_a_trial_without_a_finite_score_stays_last(browser: Chrome, tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", models=("vae",), seeds=2)
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    study = optuna.load_study(study_name="vae", storage=storage)
    trial = study.ask(SPACE)
    trial.report(float("nan"), 5)
    study.tell(trial, state=TrialState.PRUNED)
    compare([folder], tmp_path / "out")
    show(browser, tmp_path / "out", width=1400)
    column = "return [...document.querySelectorAll('.trials tbody tr')].map(row => row.cells[2].textContent)"
    heading = browser.find_element("css selector", ".trials thead th:nth-child(3) button")
    for sign in (1, -1):
        browser.execute_script("arguments[0].click()", heading)
        *scores, failed, last = browser.execute_script(column)
        assert {failed, last} == {"–", "n/a"}  # the trial that failed has no score either
        assert [float(score) for score in scores] == sorted(map(float, scores), key=lambda score: sign * score)


def press(browser: Chrome, heading: str, key: str | None = None) -> None:
    button = browser.find_element("xpath", f"//table[contains(@class, 'scores')]//button[starts-with(., '{heading}')]")
    if key is None:
        browser.execute_script("arguments[0].click()", button)
    else:
        button.send_keys(key)


def labels(browser: Chrome) -> list[str]:
    """Of the rows that are shown, in their order."""
    names = "return [...document.querySelectorAll('.scores tbody th')].map(th => th.offsetParent && th.innerText)"
    return [name for name in browser.execute_script(names) if name]


def sorted_by(browser: Chrome) -> tuple[str, str]:
    [(text, order)] = browser.execute_script(
        "return [...document.querySelectorAll('.scores th[aria-sort]')].map(th => [th.innerText, th.ariaSort])"
    )
    return text.replace("\xa0", " ").rstrip(" ↓↑"), order


def test_a_filter_hides_a_model_everywhere(page: Path, browser: Chrome) -> None:
    show(browser, page, width=1400)
    draw(browser)
    before = labels(browser)
    box = browser.find_element("css selector", "[data-filter=model] input[value=vae]")
    box.click()
    assert labels(browser) == [label for label in before if label != "vae"]
    visible = """return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent).length"""
    assert browser.execute_script(visible, "[data-model=vae]") == 0
    assert browser.execute_script(visible, "[data-model=vae_gan]") > 5
    count = "return document.querySelectorAll(`[data-figure='${arguments[0]}'] .scatterlayer .trace`).length"
    assert browser.execute_script(count, "curve-frechet") == 2 * 3
    assert browser.execute_script(count, "train_seconds-frechet") == 3  # rows; the front went through the hidden one
    assert browser.execute_script(count, "num_parameters-frechet") == 3
    assert browser.execute_script(count, "luck-0") == 3
    box.click()
    assert labels(browser) == before
    assert browser.execute_script(count, "curve-frechet") == 2 * 4
    assert browser.execute_script(count, "train_seconds-frechet") == 1 + 4
    browser.find_element("css selector", "[data-filter=model] input[value=vae_gan]").click()
    assert browser.execute_script(count, "train_seconds-frechet") == 1 + 3  # worse and dearer than gan: on no front


def test_tables_that_do_not_compare_stand_apart_and_can_be_hidden(browser: Chrome, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"{d}-{m}", m, dataset=d) for d in ("digits", "mnist") for m in ("vae", "gan")]
    compare(runs, tmp_path / "out")
    show(browser, tmp_path / "out", width=390)
    draw(browser)
    assert browser.get_log("browser") == []
    widths = browser.execute_script("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert widths[0] == widths[1]
    assert labels(browser) == ["gan", "vae"] * 2
    browser.execute_script("scrollTo({top: 0, behavior: 'instant'})")  # where the filters are, on a narrow page
    for kind, name, left in (("part", "mnist", ["gan", "vae"]), ("model", "vae", ["gan"])):
        browser.find_element("css selector", f"[data-filter={kind}] input[value={name}]").click()
        assert labels(browser) == left
    anchors = browser.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))"
    )
    assert all(browser.execute_script("return !!document.getElementById(arguments[0])", anchor) for anchor in anchors)
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))


def test_the_slider_goes_back_in_training_time(page: Path, browser: Chrome) -> None:
    show(browser, page, width=1400)
    slider = browser.find_element("css selector", "[data-wall] input")
    current = """return [...document.querySelectorAll('[data-wall] figure[data-model]')].map(figure => {
        const [picture, ...others] = [...figure.querySelectorAll('img')].filter(image => image.offsetParent);
        return [picture.alt, picture.naturalWidth > 0, others.length, figure.querySelector('.epoch').innerText]})"""
    assert {epoch for *_, epoch in browser.execute_script(current)} == {"epoch 40"}
    for key, epoch in (("\ue011", 0), ("\ue014", 10), ("\ue014", 20)):  # Home, then the right arrow
        slider.send_keys(key)
        pictures = browser.execute_script(current)
        assert len(pictures) == 4
        for alt, loaded, others, text in pictures:
            assert alt.endswith(f"after epoch {epoch}")
            assert loaded
            assert others == 0
            assert text == f"epoch {epoch}"
        assert slider.get_attribute("aria-valuetext") == f"epoch {epoch}"
    assert browser.find_element("css selector", "[data-wall] output").text == "epoch 20"
    still = browser.find_elements("css selector", "[data-wall] figure:not([data-model]) img")
    assert len(still) == 1 + len(CONTROLS)
    assert all(picture.is_displayed() for picture in still)


def test_the_chosen_metric_is_drawn_against_cost(page: Path, browser: Chrome) -> None:
    from selenium.webdriver.support.ui import Select

    show(browser, page, width=1400)
    draw(browser, "[data-cost]")
    Select(browser.find_element("css selector", "[data-choose]")).select_by_value("recall")
    titles = "return [...document.querySelectorAll('[data-cost] .ytitle')].map(title => title.textContent)"
    assert browser.execute_script(titles) == ["Recall ↑", "Recall ↑"]


def test_a_link_leads_into_a_run(page: Path, browser: Chrome, sweep: Path) -> None:
    show(browser, page, width=1400)
    link = browser.find_element("css selector", "[data-wall] figure[data-model=gan] a")
    browser.execute_script("arguments[0].click()", link)
    assert Path(unquote(urlparse(browser.current_url).path)).parent == sweep / "gan"
    assert "experiment.yaml" in browser.page_source  # what Chromium shows of a folder


def test_why_trials_ended_can_be_read_without_opening_anything(page: Path, browser: Chrome) -> None:
    show(browser, page, width=1400)
    [text] = [item.text for item in browser.find_elements("css selector", ".search[data-model=vae] .reasons")]
    assert text.splitlines() == [
        "1 failed the loss is not finite at step 31 in phase 'elbo': loss=nan",
        "3 stopped early stopped after 10 epochs by asha",
    ]


@pytest.mark.parametrize("dark", [False, True])
def test_the_switch_turns_the_page_and_its_figures(page: Path, browser: Chrome, dark: bool) -> None:
    show(browser, page, width=1400, dark=dark)
    draw(browser, "[data-figure='curve-frechet']")
    switch = browser.find_element("id", "theme")
    for now in (dark, not dark, dark):
        back, tick = browser.execute_script(
            """const tick = document.querySelector("[data-figure='curve-frechet'] .xtick text");
               return [getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(tick).fill]"""
        )
        assert (luminance(back) < 0.1) is now
        assert contrast(back, tick) > 4.5
        assert switch.get_attribute("aria-pressed") == str(now).lower()
        browser.execute_script("arguments[0].click()", switch)


def test_paper_is_light_and_nothing_is_cut(page: Path, browser: Chrome) -> None:
    """Figures are drawn for the width of a sheet before it is printed, and for the window's again after it."""
    show(browser, page, width=1400, dark=True)
    draw(browser)
    sizes = """return [...document.querySelectorAll('.plot')].map(plot => [
        plot.querySelector('svg').getBoundingClientRect().width, plot.parentElement.getBoundingClientRect().width])"""
    before = browser.execute_script(sizes)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    back = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert luminance(back) > 0.9
    assert browser.execute_script("return document.body.clientWidth") < 720  # an A4 sheet has 794 with its margins
    assert all(svg <= place for svg, place in browser.execute_script(sizes)), browser.execute_script(sizes)
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(sizes) == before


@pytest.mark.parametrize("meanwhile", ["print", "resize"])
def test_what_was_hidden_while_the_page_changed_is_drawn_in_its_own_size(
    page: Path, browser: Chrome, meanwhile: str
) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    width = 1400 if meanwhile == "print" else 900
    browser.get_log("browser")  # of other pages
    show(browser, page, width=width)
    draw(browser)
    sizes = """return [...document.querySelectorAll('[data-figure^=parallel]')].map(plot => [
        plot.querySelector('svg')?.getBoundingClientRect().width, plot.getBoundingClientRect().width])"""
    expected = browser.execute_script(sizes)
    assert all(svg == place > 0 for svg, place in expected)
    show(browser, page, width=1400)
    draw(browser)
    box = browser.find_element("css selector", "[data-filter=model] input[value=vae]")
    box.click()
    if meanwhile == "print":
        browser.execute_script("dispatchEvent(new Event('beforeprint')); dispatchEvent(new Event('afterprint'))")
    else:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")  # it saw that
    box.click()
    draw(browser, "[data-figure^=parallel]")
    WebDriverWait(browser, WAIT_S).until(lambda _: browser.execute_script(sizes) == expected)
    assert browser.get_log("browser") == []


def test_a_table_of_many_scores_fits_on_paper(browser: Chrome, tmp_path: Path) -> None:
    """What is wider than the sheet makes Chromium print all of the page smaller."""
    names = [name for name, score in metrics.scores().items() if score.judges == "samples" and not score.error_of]
    results = [{"metrics": dict.fromkeys(names[:15], value)} for value in (0.5, 0.51)]
    runs = [write_run(tmp_path / str(i), "vae", seed=i, result=result) for i, result in enumerate(results)]
    compare(runs, tmp_path / "out")
    show(browser, tmp_path / "out", width=794)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    heads, table, sheet = browser.execute_script(
        """const table = document.querySelector('.scores');
           return [table.rows[1].cells.length, table.getBoundingClientRect().right, document.body.clientWidth]"""
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert heads == 1 + 15 + 2
    assert table <= sheet


def test_all_of_the_page_is_in_its_pdf(page: Path, browser: Chrome) -> None:
    """Printed by Chromium: sheets of A4 with every word of the tables, the headings and the notes."""
    show(browser, page, width=1400)
    draw(browser)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})  # without what paper does not show
    kinds = ".scores td, .scores tbody th, h1, h2, h3, h4, .notes li, .caption"
    texts = "return [...document.querySelectorAll(arguments[0])].map(e => e.checkVisibility() ? e.innerText : '')"
    words = words_in("\n".join(browser.execute_script(texts, kinds)))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(words) > 200
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    content = base64.b64decode(printed["data"])
    sheets = pdf.pages(content)
    assert len(sheets) > 3
    assert content.count(b"/Type /Page\n") == len(sheets)
    for width, height in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content):
        assert (float(width), float(height)) == pytest.approx((595.3, 841.9), abs=1)  # points of 1/72 inch
    found = [words_in(sheet) for sheet in sheets]
    assert all(found)  # none is blank
    assert all(sum(model in sheet for sheet in found) > 1 for model in ("vae", "gan", "vae_gan", "aae"))
    assert words <= set().union(*found), words - set().union(*found)


def words_in(text: str) -> set[str]:
    """And numbers; letters that are printed as one are taken apart."""
    return set(re.findall(r"\w+(?:\.\w+)*", unicodedata.normalize("NFKC", text)))


def test_pictures_that_hold_text_are_as_wide_as_a_phone(page: Path, browser: Chrome) -> None:
    show(browser, page, width=390)
    widths = "return [...document.querySelectorAll(`#${arguments[0]} img:not([hidden])`)].map(i => i.clientWidth)"
    assert min(browser.execute_script(widths, "codes")) > 340
    assert max(browser.execute_script(widths, "reconstructions")) < 200


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (1400, True), (390, False)])
def test_axe_finds_nothing_serious(page: Path, browser: Chrome, width: int, dark: bool) -> None:
    selenium = pytest.importorskip("axe_core_python.selenium", reason="needs the Python package axe-core-python")
    show(browser, page, width=width, dark=dark)
    draw(browser)
    browser.execute_script("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    found = selenium.Axe().run(browser)
    assert len(found["passes"]) > 20
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in serious] == []


def luminance(color: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, WCAG 2."""
    values = [int(part) / 255 for part in color.strip("rgb()").split(",")]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
