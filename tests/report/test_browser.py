"""The page in a real Chromium: what it draws, what it asks the network for, and whether it fits a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import pytest

from genray.report import compare, comparison

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
def page(sweep: Path, browser: Chrome) -> Path:
    """The page of the sweep, loaded once, with every figure drawn; its logs are still unread."""
    out = sweep / "comparison"
    compare([sweep], out)
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
    _, *lines = browser.execute_script(script)
    names = comparison.metric_names(result)
    shown: list[dict[str, Any]] = [*result["rows"], {"label": "real images (floor)", "metrics": result["floor"]}]
    assert [line[0] for line in lines] == [row["label"] for row in shown]
    for line, row in zip(lines, shown, strict=True):
        for text, name in zip(line[1:], names, strict=True):
            if name not in row["metrics"]:
                assert text == "–"
                continue
            mean, ci95 = map(float, text.replace(" ≈", "").split(" ± "))
            assert mean == pytest.approx(row["metrics"][name]["mean"], rel=0.01)
            assert ci95 == pytest.approx(row["metrics"][name]["ci95"], rel=0.06)


def test_every_picture_is_drawn_and_every_kind_can_be_reached(page: Path, browser: Chrome) -> None:
    sizes = browser.execute_script("return [...document.images].map(image => [image.naturalWidth, image.clientWidth])")
    assert len(sizes) == 1 + 4 + 3 * 3  # real images; samples of four models; three kinds of the three with codes
    assert all(own > 0 and shown > 50 for own, shown in sizes)
    links = browser.execute_script("return [...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))")
    assert {"#samples", "#reconstructions", "#interpolation", "#codes"} <= set(links)


def test_figures_have_a_line_for_each_model_and_trial(page: Path, browser: Chrome) -> None:
    count = "return document.querySelectorAll(`[data-figure='${arguments[0]}'] .scatterlayer .trace`).length"
    assert browser.execute_script(count, "curve-frechet") == 2 * 4  # a band and a line for each model
    assert browser.execute_script(count, "parallel-0-vae") == 7  # of 8 trials, one failed without a score


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


def luminance(color: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, WCAG 2."""
    values = [int(part) / 255 for part in color.strip("rgb()").split(",")]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
