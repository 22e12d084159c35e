"""How long the page of a large sweep takes to open and to draw, and how large it is.

The sweep is made up (tests/report/fabricate.py). Each opening is by a Chromium that has just been started, of which the
page is the first, so that nothing of it is compiled or cached.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from selenium import webdriver

from benchmarks.common import header, spread
from genray.report import compare
from tests.report.fabricate import write_sweep

LOADED = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
PAINTED = """return new Promise(done => {
    const paint = list => done(list.getEntriesByName('first-contentful-paint')[0].startTime);
    new PerformanceObserver(paint).observe({type: 'paint', buffered: true}); })"""
DRAW_ALL = """const start = performance.now();
    const sheet = new Promise(done => addEventListener('beforeprint', () => setTimeout(done)));
    dispatchEvent(new Event('beforeprint'));
    return sheet.then(() => performance.now() - start)"""  # before it prints, the page draws every figure


def started() -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def open_page(page: Path) -> tuple[float, float, float]:
    """Seconds until something is shown, until all is loaded, and of drawing every figure afterwards."""
    browser = started()
    try:
        browser.get(page.as_uri())
        shown, loaded = browser.execute_script(PAINTED), browser.execute_script(LOADED)
        return shown / 1000, loaded / 1000, browser.execute_script(DRAW_ALL) / 1000
    finally:
        browser.quit()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=125, help="of each of four models")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        sweep = write_sweep(Path(folder) / "sweep", trials=arguments.trials)
        start = time.perf_counter()
        compare([sweep], sweep / "comparison")
        made = time.perf_counter() - start
        page = sweep / "comparison" / "index.html"
        times = [open_page(page) for _ in range(arguments.repeats)]
        size = page.stat().st_size / 1e6
    shown, loaded, drawn = ([measured[i] for measured in times] for i in range(3))
    print(header("Opening a page", ["plotly", "selenium"]))
    print(
        f"{4 * arguments.trials} trials of four models, 5 finalists each; opened {arguments.repeats} times. Seconds.\n"
    )
    print("| page [MB] | made in | something is shown after | loaded after | then every figure drawn in |")
    print("|---|---|---|---|---|")
    print(f"| {size:.1f} | {made:.1f} | {spread(shown)} | {spread(loaded)} | {spread(drawn)} |")


if __name__ == "__main__":
    main()
