"""Tests of the report in a browser: slider, layers, views and selection, also by keyboard alone."""

import io
import re
import threading
import time

import matplotlib.image
import numpy as np
import pytest

from cosim import Layer, compare
from cosim.report import write_map, write_report
from cosim.report.server import ReportServer
from tests.support.browser import CHROMIUM, Browser
from tests.support.districts import LABELS, district

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to look at the report with")

DESKTOP, PHONE = (1366, 900), (390, 844)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return district().run(folder / "base"), district(draw=9).run(folder / "plan")


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return write_report(runs[0], folder / "one.html"), write_report(compare(*runs), folder / "two.html")


@pytest.fixture(scope="module")
def seasons(tmp_path_factory):
    """Two plans and a base, in a winter and in a summer case."""
    folder = tmp_path_factory.mktemp("seasons")
    return {
        name: [district(draw=draw, day=day).run(folder / f"{name}-{draw}") for draw in (0, 10, 20)]
        for name, day in (("winter", "2025-01-15"), ("summer", "2025-07-15"))
    }


@pytest.fixture(scope="module")
def seasons_page(seasons, tmp_path_factory):
    cases = {name: compare(*runs, names=["today", "one", "two"]) for name, runs in seasons.items()}
    return write_report(cases, tmp_path_factory.mktemp("page") / "seasons.html", links={"The study": "study.html"})


@pytest.fixture(scope="module", params=["MapLibre GL", "canvas"])
def browser(request):
    with Browser(*DESKTOP, webgl=request.param != "canvas") as browser:
        browser.drawn_by = request.param
        # there is no graphics processor, without which a page draws on the canvas unless overruled
        browser.part = "#gl" if browser.webgl else ""
        yield browser


@pytest.fixture
def opened(browser, pages):
    browser.resize(*DESKTOP)
    browser.open(pages[1], part=browser.part)
    choose(browser, "views", 0)
    browser.click("#whole")
    settle(browser)
    yield browser
    asks_and_complains_of_nothing(browser, pages[1])


@pytest.fixture
def opened_seasons(browser, seasons_page):
    browser.resize(*DESKTOP)
    browser.open(seasons_page, part=browser.part)
    yield browser
    asks_and_complains_of_nothing(browser, seasons_page)


def asks_and_complains_of_nothing(browser, page):
    """Check after every test that there were no errors and no network requests."""
    assert [text for text in browser.console if "GL Driver Message" not in text] == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data", "blob"}
    assert [url for url in browser.requests if url.startswith("file")] == [page.resolve().as_uri()]


def settle(browser):
    """Wait until everything requested is shown and the map is drawn."""
    browser.wait("document.getElementById('stage').getAttribute('aria-busy') === 'false'")
    time.sleep(0.1)


def choose(browser, group, k):
    browser.click(f"#{group} label:nth-child({k + 1})")
    browser.wait(f"document.querySelectorAll('#{group} input')[{k}].checked")
    settle(browser)


def move_to(browser, frame):
    browser.run(
        f"(() => {{ const s = document.getElementById('slider'); s.value = {frame};"
        "s.dispatchEvent(new Event('input')); })()"
    )
    settle(browser)


def listed(browser):
    """Return the names and values that the page lists."""
    rows = browser.run(
        "[...document.querySelectorAll('#top button')].map(b => [b.children[0].textContent, b.children[1].textContent])"
    )
    return {name: float(value.split(" ")[0].replace("−", "-").replace(",", "")) for name, value in rows}


def test_page_is_drawn_by_what_the_browser_supports(opened):
    assert opened.run("document.body.dataset.ready") == opened.drawn_by


def test_elements_of_every_layer_are_seen_on_the_map(opened):
    x, y, width, height = opened.run(
        "(() => { const b = document.getElementById('map').getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height].map(Math.round); })()"
    )
    for k in range(3):
        choose(opened, "layers", k)
        time.sleep(0.5)  # until MapLibre has drawn in software
        picture = matplotlib.image.imread(io.BytesIO(opened.screenshot()))[y : y + height, x : x + width, :3]
        colourful = np.ptp(picture, axis=2) > 0.2  # neither the ground, nor what is drawn in grey
        assert colourful[: height * 3 // 4].sum() > 100  # the legend is below


def test_page_without_graphics_processor_is_drawn_on_the_canvas_unless_overruled(browser, pages):
    for part, drawn_by in (("", "canvas"), ("#canvas", "canvas"), ("#gl", browser.drawn_by)):
        browser.open(pages[0], part=part)
        assert browser.run("document.body.dataset.ready") == drawn_by


def test_slider_shows_the_values_recorded_at_its_time(opened, runs):
    power = runs[0].series("source.power").to_numpy(dtype=float) / 1000
    for frame in (0, 17, 89):
        move_to(opened, frame)
        true = dict(zip(LABELS, power[2 * frame : 2 * frame + 2].mean(axis=0)))
        shown = listed(opened)
        assert shown.keys() == true.keys()
        span = np.ptp(power, axis=0).max()
        for name, value in shown.items():
            assert value == pytest.approx(true[name], abs=span / 508 + 0.005 * abs(true[name]) + 1e-3)
    assert opened.run("document.getElementById('moment').textContent") == "02:58–03:00"


def test_difference_view_shows_plan_minus_base(opened, runs):
    choose(opened, "views", 2)
    move_to(opened, 30)
    base, plan = (run.series("source.power").to_numpy(dtype=float)[60:62].mean(axis=0) / 1000 for run in runs)
    for name, value in listed(opened).items():
        k = LABELS.index(name)
        assert value == pytest.approx(plan[k] - base[k], abs=0.03)
    legend = opened.run("document.getElementById('legend').textContent")
    assert "difference" in legend
    assert "≤ −" in legend


def chosen(browser, group):
    return browser.run(f"[...document.querySelectorAll('#{group} input')].find(i => i.checked).nextSibling.textContent")


def agrees(shown, true):
    """Return whether listed values are correct, to the precision at which values are packed and shown."""
    span = max(np.ptp(list(true.values())), 1.0)
    return shown.keys() == true.keys() and all(
        shown[name] == pytest.approx(value, rel=0.006, abs=0.01 * span) for name, value in true.items()
    )


def test_comparison_opens_on_the_effect_of_its_first_plan_over_the_whole_time(opened_seasons, seasons):
    today, one, _ = (run.series("source.power").mean() / 1000 for run in seasons["winter"])
    assert [chosen(opened_seasons, group) for group in ("cases", "views")] == ["winter", "one − today"]
    assert opened_seasons.run("document.getElementById('whole').getAttribute('aria-pressed')") == "true"
    assert opened_seasons.run("document.getElementById('moment').textContent") == "mean of the whole period"
    assert opened_seasons.run("document.getElementById('top-title').textContent") == "Largest differences of the means"
    assert agrees(listed(opened_seasons), (one - today).to_dict())
    move_to(opened_seasons, 7)
    assert opened_seasons.run("document.getElementById('moment').textContent") == "00:14–00:16"


def test_both_plans_differ_from_the_base_and_from_each_other(opened_seasons, seasons):
    today, one, two = (run.series("source.power").iloc[60:62].mean() / 1000 for run in seasons["winter"])
    move_to(opened_seasons, 30)
    titles = opened_seasons.run("[...document.querySelectorAll('#views span')].map(s => s.textContent)")
    assert titles == ["today", "one", "two", "one − today", "two − today", "two − one"]
    for k, true in ((1, one), (3, one - today), (4, two - today), (5, two - one)):
        choose(opened_seasons, "views", k)
        assert agrees(listed(opened_seasons), true.to_dict()), titles[k]


def test_switching_the_case_keeps_layer_view_time_and_element(opened_seasons, seasons):
    choose(opened_seasons, "layers", 1)
    choose(opened_seasons, "views", 4)
    move_to(opened_seasons, 45)
    opened_seasons.click("#top li:nth-child(2) button")
    opened_seasons.wait("document.querySelector('#top button[aria-pressed=true]')")
    picked = opened_seasons.run("document.querySelector('#course b').textContent")
    opened_seasons.run("document.querySelector('#cases input').focus()")
    opened_seasons.press("ArrowRight", 39)
    opened_seasons.wait("document.getElementById('charts-case').textContent === ': summer'")
    opened_seasons.wait("document.getElementById('course').textContent.includes('summer')")
    settle(opened_seasons)
    found = [chosen(opened_seasons, group) for group in ("cases", "layers", "views")]
    assert found == ["summer", "Received", "two − today"]
    assert opened_seasons.run("document.getElementById('slider').value") == "45"
    assert opened_seasons.run("document.querySelector('#course b').textContent") == picked
    today, _, two = (run.series("echo.received").iloc[90:92].mean() / 1000 for run in seasons["summer"])
    assert agrees(listed(opened_seasons), (two - today).to_dict())
    opened_seasons.press("ArrowLeft", 37)
    opened_seasons.wait("document.getElementById('charts-case').textContent === ': winter'")


def test_cases_fit_on_a_phone_with_the_chosen_view_visible(opened_seasons, seasons_page):
    opened_seasons.resize(*PHONE)
    opened_seasons.open(seasons_page, part=opened_seasons.part)
    assert opened_seasons.run("document.documentElement.scrollWidth") <= PHONE[0]
    left, right = opened_seasons.run(
        "(() => { const b = document.querySelector('#views input:checked + span').getBoundingClientRect();"
        "return [b.left, b.right]; })()"
    )
    assert 0 <= left < right <= PHONE[0] + 1
    opened_seasons.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened_seasons.run("document.documentElement.scrollWidth") <= PHONE[0]
    # as wide as the phone, and so is every cell of the overview
    wide = opened_seasons.run(
        f"[...document.querySelectorAll('.overview td')].filter(e => e.getBoundingClientRect().right > {PHONE[0]})"
        ".map(e => e.outerHTML)"
    )
    assert wide == []


def test_links_lead_to_further_pages(opened_seasons):
    assert opened_seasons.run("document.querySelector('nav a').getAttribute('href')") == "study.html"


def test_every_layer_can_be_chosen_and_changes_the_map(opened):
    titles = opened.run("[...document.querySelectorAll('#layers span')].map(s => s.textContent)")
    assert titles == ["Power </script><b>", "Received", "Count"]
    for k, title in enumerate(titles):
        choose(opened, "layers", k)
        assert opened.run("document.getElementById('shown').textContent").startswith(title)
        assert len(listed(opened)) == 6


def test_peak_shows_the_highest_value_of_each_element_beside_the_mean(opened, runs):
    opened.click("#peak")
    settle(opened)
    power = runs[0].series("source.power").to_numpy(dtype=float).reshape(90, 2, 6).mean(axis=1) / 1000
    assert agrees(listed(opened), dict(zip(LABELS, power.max(axis=0))))
    assert opened.run("document.getElementById('moment').textContent") == "highest mean of 2 min"
    assert opened.run("document.getElementById('top-title').textContent") == "Highest of the peaks"
    opened.click("#peak")
    settle(opened)
    assert opened.run("document.getElementById('moment').textContent") != "highest mean of 2 min"


def test_mean_can_be_that_of_some_hours_of_the_day(opened, runs):
    opened.run(
        "(() => { const t = document.getElementById('to'); t.value = 1; t.dispatchEvent(new Event('change')); })()"
    )
    settle(opened)
    first_hour = runs[0].series("source.power").iloc[:60].mean() / 1000
    assert agrees(listed(opened), first_hour.to_dict())
    assert opened.run("document.getElementById('moment').textContent") == "mean from 0 to 1 h"


def test_layers_without_a_change_come_last_and_the_first_that_changes_is_shown(opened):
    assert opened.run("document.querySelector('#layers .still span').textContent") == "Count"


def test_the_pointer_shows_its_place_in_the_frame_of_the_layers(opened):
    x, y, width, height = opened.run(
        "(() => { const b = document.getElementById('map').getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height]; })()"
    )
    opened.move(x + width / 2 + 3, y + height / 2)
    opened.move(x + width / 2, y + height / 2)
    opened.wait("document.getElementById('at').textContent")
    east, north = map(int, re.findall(r"-?\d+", opened.run("document.getElementById('at').textContent")))
    # the middle of the box around all shapes: streets from 0 to 200, houses to 230 m
    assert abs(east - 115) <= 2
    assert abs(north - 115) <= 2


def test_a_map_before_any_run_shows_what_is_where(browser, tmp_path):
    scenario = district()
    meanings = {"source.count": {label: f"meter of {label}" for label in LABELS}}
    zone = Layer.outline("zone", {"zone": [(0, 0), (200, 0), (200, 200)]})
    page = write_map("twin", [scenario.layers[2], zone], tmp_path / "twin.html", meanings=meanings)
    browser.open(page, part=browser.part)
    browser.run("document.getElementById('find').focus()")
    browser.type("e4")
    browser.press("Enter", 13, "\r")
    browser.wait("document.getElementById('found').textContent === 'e4: meter of e4'")
    assert "zone" in browser.run("document.getElementById('legend').textContent")
    assert browser.run("document.getElementById('time').offsetHeight") == 0
    asks_and_complains_of_nothing(browser, page)


def test_map_changes_with_time(opened):
    choose(opened, "layers", 1)
    seen = set()
    for frame in (3, 40, 80):
        move_to(opened, frame)
        seen.add(opened.screenshot())
    assert len(seen) == 3


def test_map_can_be_zoomed_by_its_buttons(opened):
    before = opened.screenshot()
    opened.run("document.querySelector('#map .zoom button, .maplibregl-ctrl-zoom-in').click()")
    time.sleep(1)
    assert opened.screenshot() != before


def test_click_on_the_map_selects_the_element_there(opened):
    choose(opened, "layers", 1)
    # The box of all shapes is drawn in the middle of the map: the third house is a little below the centre.
    x, y, width, height = opened.run(
        "(() => { const b = document.getElementById('map').getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height]; })()"
    )
    picked = set()
    for dx, dy in ((-0.05, 0.05), (0.02, -0.02), (0.1, -0.1), (-0.1, 0.15), (0, 0)):
        opened.click_at(x + width / 2 + dx * height, y + height / 2 + dy * height)
        settle(opened)
        picked.add(opened.run("document.querySelector('#course b').textContent"))
    assert picked & set(LABELS)


def test_keyboard_alone_moves_time_plays_and_selects(opened):
    opened.run("document.getElementById('slider').focus()")
    before = int(opened.run("document.getElementById('slider').value"))
    opened.press("ArrowRight" if before < 50 else "ArrowLeft", 39 if before < 50 else 37)
    opened.wait(f"document.getElementById('slider').value != {before}")
    assert opened.run("document.getElementById('slider').getAttribute('aria-valuetext')") == opened.run(
        "document.getElementById('moment').textContent"
    )
    opened.run("document.activeElement.blur()")
    opened.press(" ", 32, " ")
    opened.wait("document.getElementById('play').getAttribute('aria-pressed') === 'true'")
    at = opened.run("document.getElementById('slider').value")
    opened.wait(f"document.getElementById('slider').value != {at}")
    opened.press(" ", 32, " ")
    opened.wait("document.getElementById('play').getAttribute('aria-pressed') === 'false'")
    opened.run("document.querySelector('#layers input').focus()")
    opened.press("ArrowRight", 39)
    opened.wait("document.getElementById('shown').textContent.startsWith('Received')")
    opened.run("document.getElementById('find').focus()")
    opened.type("e4")
    opened.press("Enter", 13, "\r")
    opened.wait("document.querySelector('#course b').textContent === 'e4'")


def test_search_without_a_match_reports_it(opened):
    opened.run("document.getElementById('find').focus()")
    opened.type("atlantis")
    opened.press("Enter", 13, "\r")
    opened.wait("document.getElementById('found').textContent.includes('no element of')")


def test_selected_element_stays_selected_in_the_next_layer(opened):
    opened.click("#top li:first-child button")
    opened.wait("document.querySelector('#top button[aria-pressed=true]')")
    name = opened.run("document.querySelector('#top button[aria-pressed=true] .name').textContent")
    choose(opened, "layers", 1)
    opened.wait(f"document.querySelector('#course b').textContent === '{name}'")


def test_nothing_is_wider_than_a_phone(opened, pages):
    opened.resize(*PHONE)
    opened.open(pages[1], part=opened.part)
    assert opened.run("document.documentElement.scrollWidth") <= PHONE[0]
    assert opened.run("document.querySelector('#map').getBoundingClientRect().width") > 300
    small = opened.run(
        "[...document.querySelectorAll('button, #slider, .chips span')]"
        ".filter(e => e.offsetParent && e.offsetHeight < 24).map(e => e.outerHTML)"
    )
    assert small == []


def test_every_control_has_a_name(opened):
    unnamed = opened.run(
        "[...document.querySelectorAll('button, input, select, [role=img], [role=radiogroup]')].filter(e => !("
        "e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).map(e => e.outerHTML)"
    )
    assert unnamed == []


def test_labels_are_shown_as_text(opened):
    assert opened.run("document.querySelectorAll('#layers b').length") == 0


def test_single_run_has_no_view_switch(browser, pages):
    browser.open(pages[0], part=browser.part)
    assert browser.run("document.getElementById('views')") is None
    assert [text for text in browser.console if "GL Driver Message" not in text] == []


def test_viewer_reads_displayed_data_from_its_own_server_only(browser, runs):
    with ReportServer(compare(*runs)) as server:
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            browser.open(server.address, part=browser.part)
            today, plan = (run.series("source.power").mean() / 1000 for run in runs)
            assert agrees(listed(browser), (plan - today).to_dict())
            choose(browser, "views", 2)
            choose(browser, "layers", 1)
            move_to(browser, 60)
            base, plan = (run.series("echo.received").iloc[60] / 1000 for run in runs)
            # three digits are shown
            assert listed(browser) == pytest.approx((plan - base).astype(float).to_dict(), rel=0.006)
            browser.click("#top li:first-child button")
            browser.wait("document.querySelector('#top button[aria-pressed=true]')")
        finally:
            server.close()
            thread.join()
    assert [text for text in browser.console if "GL Driver Message" not in text] == []
    assert all(url.startswith((server.address, "data:", "blob:")) for url in browser.requests)
