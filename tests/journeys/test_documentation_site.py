"""The documentation site: built strictly, opened in a browser, asking for nothing but its own files."""

import functools
import http.server
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest

import cosim
from tests.support.browser import CHROMIUM, Browser
from tests.support.paths import ROOT

pytest.importorskip("mkdocs", reason="the site is built by the packages of the extra `docs`")

DESKTOP, PHONE = (1366, 900), (390, 844)
NOWHERE = "http://127.0.0.1:9"
LOADED = "location.href !== 'about:blank' && document.readyState === 'complete'"
PAGES = [
    "index.html",
    "integrators.html",
    "model.html",
    "policies.html",
    "studies.html",
    "contributing.html",
    "decisions/index.html",
    "decisions/0011-house.html",
    "api/cosim.html",
    "api/cosim.core.html",
    "api/cosim.adapters.traffic.html",
    "api/cosim.scenarios.eixample.html",
    "api/cosim.scenarios.policies.html",
    "api/cosim.testing.html",
]

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to look at the site with")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), NOWHERE)
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | proxies | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def served(site):
    """The address of the site, and what was asked for with the status of each answer."""
    answers: list[tuple[str, int]] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code="-", size="-"):
            answers.append((self.path, int(code)))

        def log_message(self, format, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(served):
    with Browser(*DESKTOP) as browser:
        yield browser


def opened(browser, address, page):
    """Open a page and demand that it is whole, quiet, and made of the site's own files."""
    browser.open(address + page, ready=LOADED)
    assert browser.console == [], page
    foreign = [url for url in browser.requests if not url.startswith((address, "data:", "about:"))]
    assert foreign == [], page


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_open_whole_and_ask_for_nothing_else(browser, served, size):
    address, answers = served
    browser.resize(*size)
    for page in PAGES:
        opened(browser, address, page)
        assert browser.run("document.querySelector('h1').innerText.length") > 3, page
        assert browser.run("document.documentElement.scrollWidth <= window.innerWidth"), f"{page} is wider than {size}"
        assert browser.run("[...document.images].every(image => image.naturalWidth > 0)"), page
    assert {status for _, status in answers} <= {200, 304}, answers


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_reference_shows_a_method_with_its_parameters(browser, served, size):
    browser.resize(*size)
    opened(browser, served[0], "api/cosim.html#cosim.Scenario.connect")
    entry = "document.getElementById('cosim.Scenario.connect').closest('.doc-object')"
    assert browser.run(f"{entry}.querySelector('.doc-signature').innerText").startswith("connect(")
    rows = browser.run(
        f"[...{entry}.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    described = {name: (kind, text, default) for name, kind, text, default in (row for row in rows if len(row) == 4)}
    assert list(described)[-8:] == [
        "output", "input", "via", "delay", "initial", "if_missing", "partial", "because",
    ]  # fmt: skip
    assert described["output"][0] == "str | Output"
    assert described["input"][0] == "str | Input"
    assert described["delay"][0] == "int"
    assert described["delay"][2] == "0"
    assert described["via"][1].startswith("Sparse matrix")


@pytest.mark.slow
@in_browser
def test_search_finds_a_name(browser, served):
    browser.resize(*DESKTOP)
    opened(browser, served[0], "index.html")
    browser.click("[data-md-component=search-query]")
    browser.type("connect")
    browser.wait("document.querySelectorAll('.md-search-result__item').length > 2")
    assert browser.console == []
    assert all(url.startswith((served[0], "data:", "blob:")) for url in browser.requests)


@pytest.mark.slow
def test_search_index_holds_every_page(site):
    found = {
        entry["location"].partition("#")[0]
        for entry in json.loads((site / "search/search_index.json").read_text())["docs"]
    }
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")} - {"404.html"}
    assert found == pages


@pytest.mark.slow
def test_every_public_name_stands_in_the_reference(site):
    anchors = set()
    for page in (site / "api").glob("*.html"):
        anchors |= set(re.findall(r'id="(cosim[\w.]*)"', page.read_text(encoding="utf-8")))
    assert {f"cosim.{name}" for name in cosim.__all__} <= anchors
    for group, suffix in (("cosim.adapters", ""), ("cosim.scenarios", ".build"), ("cosim.policies", "")):
        registered = {point.value.replace(":", ".") + suffix for point in entry_points(group=group)}
        assert registered <= anchors


@pytest.mark.slow
def test_reference_holds_no_markup_of_the_source(site):
    leftovers = re.compile(r"<blockquote>|^ *\.\. \[|::</p>|\]_", re.M)
    for page in (site / "api").glob("*.html"):
        assert leftovers.findall(page.read_text(encoding="utf-8")) == [], page


@pytest.mark.slow
def test_site_holds_no_address_of_another_machine_to_load_from(site):
    loads = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']?(?:https?:)?//[^"'\s>]+""")
    for page in site.rglob("*.html"):
        assert loads.findall(page.read_text(encoding="utf-8")) == [], page


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("api_pages", ROOT / "docs/api_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_site(hooks, page, markdown, repository=None):
    names = {"index.md", "modellers.md", "decisions/README.md", *hooks.FROM_ROOT.values()}
    files = SimpleNamespace(get_file_from_path=lambda uri: uri if uri in names else None)
    return hooks.on_page_markdown(
        markdown, SimpleNamespace(file=SimpleNamespace(src_uri=page)), SimpleNamespace(repo_url=repository), files
    )


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("modellers.md", "[a](../README.md)", "[a](index.md)"),
        ("modellers.md", "[a](../CONTRIBUTING.md#habits)", "[a](contributing.md#habits)"),
        ("decisions/0001-licence.md", "[a](../../SECURITY.md)", "[a](../security.md)"),
        ("index.md", "[a](decisions/)", "[a](decisions/README.md)"),
        ("contributing.md", "[a](docs/decisions/)", "[a](decisions/README.md)"),
        ("contributing.md", "[a](docs/modellers.md)", "[a](modellers.md)"),
        ("modellers.md", "[a](../tests/core)", "a"),
        ("modellers.md", "[a](semantics.md#time)", "[a](semantics.md#time)"),
        ("modellers.md", "[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("modellers.md", "[a](#seeds)", "[a](#seeds)"),
        ("modellers.md", "```python file=a.py\nb = c[0](1)\n```", '```python title="a.py"\nb = c[0](1)\n```'),
    ],
)
def test_link_leads_on_the_site_where_it_leads_in_the_repository(hooks, page, link, expected, caplog):
    assert on_site(hooks, page, link) == expected
    assert caplog.records == []


def test_source_file_is_linked_where_the_repository_has_an_address(hooks):
    linked = on_site(hooks, "modellers.md", "[a](../tests/core)", repository="https://example.org/cosim/")
    assert linked == "[a](https://example.org/cosim/blob/HEAD/tests/core)"


def test_link_to_a_missing_file_outside_docs_is_a_warning(hooks, caplog):
    with caplog.at_level(logging.WARNING):
        on_site(hooks, "modellers.md", "[a](../nowhere.md)")
    assert "modellers.md links to ../nowhere.md: no such file" in caplog.text


@pytest.mark.slow
def test_first_steps_compare_a_plan_with_a_base(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/index.md").read_text(encoding="utf-8"), re.S)
    exec(compile(code, "docs/index.md", "exec"), {})
    assert "charging energy" in capsys.readouterr().out
