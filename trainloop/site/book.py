"""All lessons as one book on paper: the built pages put behind one another, and printed by an installed Chromium.

One page, and not many PDF files that are joined: so links from lesson to lesson lead to the right place of the book,
and its outline has every heading.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from trainloop.site import formulas
from trainloop.site.errors import SiteError
from trainloop.syllabus import TITLE

FILE = "book.pdf"  # in the site
PAGE = "book.html"  # as long as it is printed
BEHIND = ("docs/the-loop", "docs/notation", "docs/glossary")  # the pages that follow the lessons
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = f"A book is printed by Chromium or Chrome, and none is installed here ({', '.join(BROWSERS)})."
LEFT_OUT = ".headerlink, .take, .read-this, .ask, figure.moving script, script"
PATIENCE = 900  # seconds, on a busy machine
IDLE = 60_000  # milliseconds of the page's own clock, which stands still while it works or waits for a file


def browser() -> str:
    """The command of the browser that prints.

    Raises:
        SiteError: there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SiteError(MISSING)
    return found


def write(out: Path, lessons: Sequence[str]) -> Path:
    """Print the book of a built site.

    Args:
        out: the folder of the site.
        lessons: the names of its lessons, in order.

    Returns:
        The file, in that folder.

    Raises:
        SiteError: there is no browser, or it does not print.
    """
    command = browser()
    names = ["index", *(f"lessons/{slug}" for slug in lessons)]
    names += [name for name in BEHIND if (out / f"{name}.html").is_file()]
    page, book = out / PAGE, out / FILE
    page.write_text(assembled(out, names), encoding="utf-8")
    book.unlink(missing_ok=True)
    try:
        with served(out) as address:
            _print(command, f"{address}{PAGE}", book)
    finally:
        page.unlink()
    return book


def _print(command: str, address: str, book: Path) -> None:
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox does not run as root
    options = ["--headless", *as_root, "--disable-gpu", "--disable-background-networking", "--no-pdf-header-footer"]
    options += ["--generate-pdf-document-outline", f"--virtual-time-budget={IDLE}", f"--print-to-pdf={book}", address]
    try:
        done = subprocess.run([command, *options], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise SiteError(f"{command} had not printed the book after {PATIENCE} seconds.") from None
    if done.returncode != 0 or not book.is_file():
        raise SiteError(f"{command} does not print the book:\n{done.stderr[-2000:]}")


def assembled(out: Path, names: Sequence[str]) -> str:
    """The pages of these names as one: what links from one to another leads to a place further up or down."""
    soups = {name: BeautifulSoup((out / f"{name}.html").read_text(encoding="utf-8"), "html.parser") for name in names}
    head = [str(one) for one in soups[names[0]].select('head link[rel="stylesheet"]')]
    head += formulas.scripts()
    articles = [_article(soups[name], name, names) for name in names]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="en" data-theme="light">\n<head><meta charset="utf-8"><title>{TITLE}</title>',
            *head,
            "</head>\n<body>\n<main>",
            *articles,
            "</main>\n</body>\n</html>\n",
        ]
    )


def _article(soup: BeautifulSoup, name: str, names: Sequence[str]) -> str:
    article = soup.select_one("article.bd-article")
    assert article is not None
    for one in article.select(LEFT_OUT):
        one.decompose()
    for one in article.select("[id]:not(svg [id])"):  # those in a drawing are named by its other parts
        one["id"] = _anchor(name, str(one["id"]))
    for link in article.find_all("a", href=True):
        _lead(link, name, names)
    for image in article.find_all("img"):
        image["src"] = _path(name, str(image["src"]))
        del image["loading"]
    article["id"] = _anchor(name, "")
    return str(article)


def _lead(link: Tag, name: str, names: Sequence[str]) -> None:
    """Make a link lead to its place in the book; one to what is not in it becomes plain text."""
    target = urlsplit(str(link["href"]))
    if target.scheme:
        return
    page = PurePosixPath(_path(name, target.path)).with_suffix("").as_posix() if target.path else name
    if page in names:
        link["href"] = f"#{_anchor(page, unquote(target.fragment))}"
    else:
        del link["href"]


def _path(name: str, path: str) -> str:
    """A path in the page of this name as one from the site's folder on."""
    return normpath(str(PurePosixPath(name).parent / unquote(path)))


def _anchor(name: str, anchor: str) -> str:
    return f"{name}--{anchor}"


class Quiet(SimpleHTTPRequestHandler):
    """Hands out files and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is told of what is served."""


@contextmanager
def served(folder: Path, handler: type[Quiet] = Quiet) -> Iterator[str]:
    """The address at which this machine alone reads a folder: from files, fonts would not be read."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
