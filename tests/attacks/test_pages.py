"""Pages: whatever a student writes is inert in the feedback and in the formgrader, shown with a real browser.

Each payload leaves a mark when a browser acts on it: it calls `pwn`, or it fetches an address of a server that belongs
to this test. The payloads are put into every place of a submission, and, as if intake and the box had failed, into
every place of an autograded notebook. A control shows each payload raw: there, the mark is left.

The feedback page forbids scripts and requests to the browser. That wall is taken down here, so that the first one is
tested, and has a test of its own. Everything listens on loopback only.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from tests.attacks.payloads import FORMULAS, MARKDOWN, PAYLOADS, Listener
from tests.lessons import SLUG
from tests.pages import SCRIPTS, Class, environment
from tests.servers import serving
from trainloop.checks.text import MAX_SHOWN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

# nbgrader 0.9.6 makes SQLAlchemy 2.1 say this at each new submission; see `trainloop.grading.record`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Object of type:sqlalchemy.exc.SAWarning", "ignore:Your element with mimetype:UserWarning"
)

MATHJAX = Path("/usr/share/javascript/mathjax")  # Debian's package libjs-mathjax
MATHJAX_URL = "https://cdnjs.cloudflare.com/ajax/libs/mathjax/2.7.7/"
LOADER = "const s = document.createElement('script'); s.src = '%sMathJax.js?config=%s'; document.head.append(s);"
INIT = "window.pwn = name => { (top.marks ||= []).push(name); }"
# Not the links of the formgrader itself, which lead elsewhere.
CLICK = """for (const one of document.querySelectorAll("a, form button"))
  if (!/^https?:/.test(one.href?.baseVal ?? one.href ?? "")) one.dispatchEvent(new MouseEvent("click", {bubbles: true}))
"""
SETTLE = 400  # milliseconds in which a page may still do something
MAX_PAGE = 4_000_000  # characters


# ------------------------------------------------------------------------------------------------------ the submissions

FILE = "<img src onerror=pwn('file')> witness-file.ipynb"
STUDENT = "<img src onerror=pwn('student')>"


def hand_in(one: Class, listener: Listener) -> None:
    """What students can do: payloads in every place of a submission."""
    raises = f"def relu(x):\n    raise ValueError({listener.all('message')!r})  #{listener.all('code')}"
    answer = f"print({listener.all('printed')!r})\n{raises}"
    one.hand_in("mallory", everywhere(answered(one, answer), listener.all))
    stops = f"class Odd(Exception):\n    pass\nOdd.__qualname__ = Odd.__name__ = {listener.brief('class')!r}\n"
    one.hand_in("mike", answered(one, f"{stops}raise Odd({listener.all('stopped')!r})"), FILE)
    gives = f"class Odd:\n    pass\nOdd.__qualname__ = Odd.__name__ = {listener.brief('type')!r}\n"
    one.hand_in("molly", answered(one, f"{gives}def relu(x):\n    return Odd()"))
    flood = "'\\x1b[31m' * 300_000 + '\\x1b]0;' * 1_000 + '\\x1b[' + '1;' * 300_000 + ' witness-flood \\x1b[2J'"
    one.hand_in(
        "flo", answered(one, f"flood = {flood}\nprint(flood)\ndef relu(x):\n    raise ValueError(flood[-1_500:])")
    )
    one.hand_in(STUDENT, answered(one, "def relu(x):\n    return x.clamp(min=0)"))
    one.hand_in("moritz", answered(one, "def relu(x):\n    return x.abs()"))
    one.hand_in("max", answered(one, "def relu(x):\n    return x.abs()"))


def answered(one: Class, answer: str) -> NotebookNode:
    notebook = one.released
    next(cell for cell in notebook.cells if cell.id == "relu").source = answer
    return notebook


def everywhere(notebook: NotebookNode, payload: Callable[[str], str]) -> NotebookNode:
    """Payloads in every place of a notebook that is not the answer."""
    svg = base64.b64encode(f'<svg xmlns="http://www.w3.org/2000/svg" onload="{payload("vector")}"/>'.encode()).decode()
    attached = {"a.svg": {"image/svg+xml": svg}, "b": {"text/html": payload("attachment")}}
    notebook.cells += [
        new_markdown_cell(f"# {payload('heading')}\n\n{payload('markdown')}\n\n- {payload('item')}"),
        new_markdown_cell(f"![a](attachment:a.svg) ![b](attachment:b) ![c](attachment:c) {payload('attached')}"),
        new_markdown_cell(payload("answer"), metadata=graded_as("relu")),
        new_raw_cell(payload("raw"), metadata={"raw_mimetype": "text/html"}),
        new_code_cell(f"# {payload('added')}", id="added-900", outputs=list(outputs(payload))),
    ]
    notebook.cells[-3].attachments = attached
    notebook.cells[-4].attachments = attached
    for cell in notebook.cells:
        cell.metadata |= {
            "tags": [f'"> {payload("tag")}'.replace(",", ".")],
            "name": payload("name"),
            "alt": payload("alternative"),
        }
    notebook.metadata |= {
        "title": payload("title"),
        "widgets": {"application/vnd.jupyter.widget-state+json": payload("state")},
    }
    return notebook


def graded_as(name: str) -> dict[str, Any]:
    return {"nbgrader": {"grade_id": name, "grade": False, "solution": True, "locked": False, "schema_version": 3}}


def outputs(payload: Callable[[str], str]) -> Iterator[NotebookNode]:
    """An output of every kind that some page would show."""
    for kind in ("text/html", "text/markdown", "text/latex", "image/svg+xml", "text/vnd.mermaid", "text/plain"):
        yield new_output("display_data", {kind: payload(f"output of {kind}".replace("/", " "))})
    script = payload("script").split("<script>")[1].split("</script>")[0]
    yield new_output("display_data", {"application/javascript": script})
    yield new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": payload("widget")}})
    for kind in ("image/png", "image/jpeg"):
        yield new_output("display_data", {kind: f'x"> {payload("picture")}'})
        odd = {name: f'"> {payload(f"picture {name}")}' for name in ("alt", "width", "height", "unconfined")}
        yield new_output("display_data", {kind: PIXEL}, metadata={kind: odd, "filenames": {kind: payload("file name")}})
    yield new_output("display_data", {"text/html": payload("isolated")}, metadata={"text/html": {"isolated": True}})
    yield new_output("stream", name="stdout", text=payload("stream"))
    yield new_output("stream", name="stderr", text=payload("stderr"))
    yield new_output("error", ename=payload("ename"), evalue=payload("evalue"), traceback=[payload("traceback")])


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def forge(one: Class, listener: Listener) -> None:
    """What no student can do if all goes well: payloads in an autograded notebook and in the verdict on it."""
    notebook = everywhere(one.course.read("autograded/moritz", SLUG), listener.all)
    ours = notebook.metadata["trainloop"]["verdict"]
    ours |= {"notes": [listener.all("note")], "words": listener.all("words"), "written": ["added-900"]}
    exercise = ours["exercises"]["relu"]
    exercise |= {"title": listener.all("exercise"), "comment": listener.all("own comment")}
    for name in ("title", "sentence"):
        exercise["checks"][0][name] = listener.all(name)
    exercise["checks"][0]["detail"] = [listener.all("detail")]
    one.rewrite("moritz", notebook)
    cells = [
        new_markdown_cell(f"witness-markdown-{i}\n\n{listener.armed(text, f'own/{i}')}")
        for i, text in enumerate(MARKDOWN.values())
    ]
    formulas = [
        new_markdown_cell(f"witness-formula-{i}\n\n{text % f'formula/{i}'}") for i, text in enumerate(FORMULAS.values())
    ]
    broken = new_markdown_cell(
        "$$ never closed \\begin{cases} \\frac{ \n\n \\[ nor this \x1b[31m" + "\x1b[1m" * 100_000
    )
    notebook = one.course.read("autograded/max", SLUG)
    notebook.cells += [*cells, *formulas, broken, new_markdown_cell("witness-end: $a_1$")]
    one.rewrite("max", notebook)
    with one.gradebook() as gradebook:
        comment = gradebook.find_comment("relu", SLUG, SLUG, "mallory")
        comment.manual_comment = listener.all("comment") + listener.all("own", MARKDOWN)


# ------------------------------------------------------------------------------------------------------------ the pages


@dataclass(frozen=True)
class Visit:
    """What a browser did with a page."""

    marks: tuple[str, ...]
    """Left by scripts."""
    heard: tuple[str, ...]
    """Addresses that the test's server was asked for."""
    asked: tuple[str, ...]
    """Other addresses that the browser asked for, not of the page's own server."""
    text: str
    """All text of the page, also what is folded."""
    size: int
    left: tuple[str, ...]
    """Addresses to which the page wanted to lead the browser."""
    shown: tuple[bool, ...] = field(default=())
    """Whether each of the elements that were asked about can be seen."""


@dataclass(frozen=True)
class Pages:
    """A class with payloads everywhere, and a formgrader over it."""

    one: Class
    listener: Listener
    browser: Browser
    formgrader: str
    token: str
    kept: dict[tuple[str, str], Visit] = field(default_factory=dict)

    def visit(self, kind: str, student: str) -> Visit:
        """What happens at a page of a student; `kind` is "feedback" or "formgrader". Each is visited once."""
        if (kind, student) not in self.kept:
            address, seen = self.address(kind, student), ".score" if kind == "feedback" else "div.nbgrader_cell"
            self.kept[kind, student] = visit(self.browser, self.listener, address, seen, self.token)
        return self.kept[kind, student]

    def address(self, kind: str, student: str) -> str:
        """Where a page is."""
        if kind == "feedback":
            page = self.one.feedback(student).read_text(encoding="utf-8")
            return self.listener.serve(f"feedback-{student.encode().hex()}", page)
        with self.one.gradebook() as gradebook:
            name = gradebook.find_submission_notebook(SLUG, SLUG, student).id
        return f"{self.formgrader}/formgrader/submissions/{name}/"


def visit(
    browser: Browser, listener: Listener, address: str, seen: str = "body", token: str = "", csp: bool = False
) -> Visit:
    """Open a page, follow its scripts' links, and say what came of it."""
    context = browser.new_context(bypass_csp=not csp, extra_http_headers={"Authorization": f"token {token}"})
    context.set_default_timeout(60_000)
    context.add_init_script(INIT)
    asked: list[str] = []
    left: list[str] = []
    own = f"{listener.url}/page/" if address.startswith(listener.url) else "/".join(address.split("/")[:3])

    def route(route: Route) -> None:
        url = route.request.url
        if route.request.is_navigation_request() and route.request.frame == page.main_frame and url != address:
            left.append(url)
            route.fulfill(status=204)  # the browser stays where it is, and its marks can be read
        elif not url.startswith((own, listener.url, "data:", "blob:")):
            asked.append(url)
            serve_mathjax(route) if url.startswith(MATHJAX_URL) else route.abort()
        else:
            route.continue_()

    context.route("**/*", route)
    before = len(listener.heard)
    page = context.new_page()
    page.goto(address)
    typeset(page)
    shown = tuple(one.is_visible() for one in page.locator(seen).all())
    page.evaluate(CLICK)
    page.wait_for_timeout(SETTLE)
    found = Visit(
        marks=tuple(page.evaluate("top.marks || []")),
        heard=tuple(path for path in listener.heard[before:] if path != "/favicon.ico"),
        asked=tuple(asked),
        text=page.evaluate("document.documentElement.textContent"),
        size=len(page.content()),
        left=tuple(left),
        shown=shown,
    )
    context.close()
    return found


def serve_mathjax(route: Route) -> None:
    """Answer in the place of the address that nbgrader's page loads MathJax from."""
    parts = urlsplit(route.request.url)
    name = parts.path.removeprefix(urlsplit(MATHJAX_URL).path)
    path = MATHJAX / name
    if name == "latest.js" and MATHJAX.is_dir():
        config = parts.query.removeprefix("config=")
        route.fulfill(body=LOADER % (MATHJAX_URL, config), content_type="text/javascript")
    elif path.is_file():
        route.fulfill(path=path, headers={"Access-Control-Allow-Origin": "*"})
    else:
        route.abort()


def typeset(page: Page) -> None:
    """Wait for MathJax, where the page has asked for it and it is there."""
    if MATHJAX.is_dir() and page.locator(f'script[src^="{MATHJAX_URL}"]').count():
        page.wait_for_function("window.MathJax && MathJax.isReady", timeout=60_000)
        page.evaluate("new Promise(done => MathJax.Hub.Queue(done))")


@pytest.fixture(scope="module")
def pages(browser: Browser, listener: Listener, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    one = Class.build(tmp_path_factory.mktemp("pages"))
    hand_in(one, listener)
    one.run("autograde", SLUG)
    forge(one, listener)
    one.run("generate_feedback", SLUG)
    token = secrets.token_hex(8)
    with formgrader(one, token, tmp_path_factory.mktemp("jupyter")) as url:
        yield Pages(one, listener, browser, url, token)


@contextmanager
def formgrader(one: Class, token: str, home: Path) -> Iterator[str]:
    """nbgrader's formgrader over the course, on loopback."""
    settings = {
        **{"ServerApp.ip": "127.0.0.1", "ServerApp.port": 0},
        **{"ServerApp.root_dir": one.course.root, "ServerApp.open_browser": False, "IdentityProvider.token": token},
        "ServerApp.jpserver_extensions": "{'nbgrader.server_extensions.formgrader': True}",
    }
    command = [SCRIPTS / "jupyter-server", "--allow-root", *(f"--{name}={value}" for name, value in settings.items())]
    env = environment() | {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    with serving(command, home / "log", home / "runtime", env, one.course.root) as server:
        yield server.url.rstrip("/")


# ------------------------------------------------------------------------------------------------------------- controls


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_works_where_it_is_put_in_raw(browser: Browser, listener: Listener, name: str) -> None:
    raw = listener.armed(PAYLOADS[name], "raw")
    page = f"<!DOCTYPE html><html><head><title>control</title></head><body><p>text</p>{raw}</body></html>"
    found = visit(browser, listener, listener.serve("control", page))
    assert "raw" in found.marks or "/raw" in found.heard or f"{listener.url}/raw" in found.left


@pytest.mark.parametrize("name", MARKDOWN)
def test_a_payload_in_markdown_works_where_nbconvert_shows_it(browser: Browser, listener: Listener, name: str) -> None:
    cell = new_markdown_cell(listener.armed(MARKDOWN[name], "raw"))
    stock = HTMLExporter(template_name="classic")  # type: ignore[no-untyped-call]
    page, _ = stock.from_notebook_node(new_notebook(cells=[cell]))
    found = visit(browser, listener, listener.serve("control", page))
    if name == "HTML in a formula":
        assert not found.marks, "nbconvert escapes formulas; this one is there to see that we do not undo it"
    else:
        assert "raw" in found.marks or "/raw" in found.heard


@pytest.mark.parametrize("student", ["moritz", "max"])
def test_the_forged_notebooks_act_where_nbconvert_shows_them(pages: Pages, student: str) -> None:
    stock = HTMLExporter(template_name="classic")  # type: ignore[no-untyped-call]
    notebook = pages.one.course.read(f"autograded/{student}", SLUG)
    # Some of what is there stops nbconvert, and the flood takes it minutes.
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.pop("attachments", None)
        cell.source = cell.source.replace("attachment:", "")[:MAX_SHOWN]
    page, _ = stock.from_notebook_node(notebook)
    found = visit(pages.browser, pages.listener, pages.listener.serve("control", page))
    places = {mark.split("/")[0] for mark in (*found.marks, *(path[1:] for path in found.heard))}
    assert len(places) >= (8 if student == "moritz" else 1), places


@pytest.mark.skipif(not MATHJAX.is_dir(), reason="There is no MathJax: Debian's libjs-mathjax is not installed.")
def test_a_link_in_a_formula_works_where_mathjax_is_not_told_to_be_safe(browser: Browser, listener: Listener) -> None:
    script = f'<script src="{MATHJAX_URL}latest.js?config=TeX-AMS_CHTML-full"></script>'
    formula = (FORMULAS["a link"] % "raw").replace("$", "$$")
    page = f"<!DOCTYPE html><html><head>{script}</head><body><p>{formula}</p></body></html>"
    assert "raw" in visit(browser, listener, listener.serve("control", page)).marks


def test_the_browser_itself_stops_what_is_raw_on_a_feedback_page(pages: Pages) -> None:
    """The second wall: the page's own policy."""
    page = pages.one.feedback("max").read_text(encoding="utf-8")
    raw = {name: text for name, text in PAYLOADS.items() if name != "refresh"}  # no policy forbids it
    address = pages.listener.serve("walled", page.replace("<main>", f"<main>{pages.listener.all('walled', raw)}"))
    found = visit(pages.browser, pages.listener, address, csp=True)
    assert "witness-walled" in found.text
    assert (found.marks, found.heard, found.asked, found.left) == ((), (), (), ())


# -------------------------------------------------------------------------------------------------------------- attacks

STUDENTS = ("mallory", "mike", "molly", "flo", STUDENT, "moritz", "max")
KINDS = ("feedback", "formgrader")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("student", STUDENTS)
def test_nothing_on_a_page_acts(pages: Pages, kind: str, student: str) -> None:
    found = pages.visit(kind, student)
    assert found.marks == ()
    assert found.heard == ()
    assert [url for url in found.asked if kind == "feedback" or not url.startswith(MATHJAX_URL)] == []
    assert found.left == ()
    assert found.shown and all(found.shown), "the marks can be seen"
    assert found.size < MAX_PAGE
    assert "\x1b" not in found.text


LISTS = ("manage_assignments", f"manage_submissions/{SLUG}", f"gradebook/{SLUG}/{SLUG}", "manage_students")


@pytest.mark.parametrize("name", LISTS)
def test_a_students_name_is_inert_in_the_lists_of_the_formgrader(pages: Pages, name: str) -> None:
    found = visit(pages.browser, pages.listener, f"{pages.formgrader}/formgrader/{name}", token=pages.token)
    assert found.marks == ()


ARRIVED = {
    ("mallory", "feedback"): ("message", "code", "printed", "comment"),
    ("mallory", "formgrader"): ("message", "code", "printed"),
    ("mike", "feedback"): ("class", "stopped", "file"),
    ("mike", "formgrader"): ("class", "stopped"),
    ("molly", "feedback"): ("type",),
    ("molly", "formgrader"): ("type",),
    ("flo", "feedback"): ("flood",),
    ("flo", "formgrader"): ("flood",),
    ("moritz", "feedback"): (
        *("note", "words", "exercise", "title", "sentence", "detail", "added", "stream", "stderr", "traceback"),
        *("output of text plain", "picture alt"),
    ),
    ("moritz", "formgrader"): (
        *("heading", "markdown", "item", "attached", "answer", "raw", "added", "stream", "stderr", "traceback"),
        *("output of text plain", "picture alt"),
    ),
    ("max", "formgrader"): (*(f"markdown-{i}" for i in range(len(MARKDOWN))), "end"),
}


@pytest.mark.parametrize(("student", "kind"), ARRIVED)
def test_the_payloads_were_there_to_be_shown(pages: Pages, student: str, kind: str) -> None:
    """Each as text, so that the test above looks at pages on which something was to be made inert."""
    found = pages.visit(kind, student)
    page = found.text + pages.one.feedback(student).read_text() if kind == "feedback" else found.text
    missing = [place for place in ARRIVED[student, kind] if f"witness-{place}" not in page]
    assert missing == ["picture alt"] if kind == "formgrader" and "picture alt" in missing else missing == []


def test_nothing_of_a_submission_but_its_code_is_carried(pages: Pages) -> None:
    """Its Markdown, outputs, metadata and attachments stay behind at the door."""
    notebook = json.dumps(pages.one.course.read("autograded/mallory", SLUG))
    assert "witness-code" in notebook
    places = (
        "markdown",
        "answer",
        "raw",
        "attached",
        "stream",
        "picture",
        "tag",
        "name",
        "state",
        "output of text html",
    )
    assert [place for place in places if f"witness-{place}" in notebook] == []


@pytest.mark.skipif(not MATHJAX.is_dir(), reason="There is no MathJax: Debian's libjs-mathjax is not installed.")
def test_formulas_are_set_and_a_broken_one_takes_nothing_with_it(pages: Pages) -> None:
    found = pages.visit("formgrader", "max")
    assert any("config=TeX-AMS_CHTML-full,Safe" in url for url in found.asked), "MathJax was told to be safe"
    assert all(f"witness-formula-{i}" in found.text for i in range(len(FORMULAS)))
    after = found.text.split("witness-end: ")[-1]
    assert not after.startswith("$a_1$"), "it is set"
