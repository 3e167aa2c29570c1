"""What Lighthouse says of the front page and of the heaviest lesson.

Who can read a page, it says anywhere. How fast one stands, it says of a machine that has little else to do: it is asked
for that with `--all` alone, and of three tries the best counts.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import QUIET, chromium
from tests.site.conftest import Site
from trainloop.site.book import Quiet, served

WANTED = 95  # of 100
TRIES = 3
SECONDS = 300  # for a try, on a busy machine
DEVICES = {"phone": [], "desktop": ["--preset=desktop"]}
MISSING = "There is no Lighthouse: npm install --global lighthouse@12 brings it."


class Compressing(Quiet):
    """Hands out texts in short, and many files over one connection, as servers of the web do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 (http.server asks for this name)
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if path.suffix not in (".html", ".css", ".js", ".svg") or not path.is_file():
            super().do_GET()
            return
        data = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def compressed(site: Site) -> Iterator[str]:
    """Where the open edition is served by such a server."""
    with served(site.folder, Compressing) as found:
        yield found


def scores(address: str, device: str, categories: list[str], report: Path) -> dict[str, float]:
    """What Lighthouse gives a page: a number up to 100 by category."""
    command = shutil.which("lighthouse")
    if command is None:
        pytest.skip(MISSING)
    options = [*DEVICES[device], "--quiet", "--output=json", f"--output-path={report}"]
    options += [f"--only-categories={','.join(categories)}", f"--chrome-flags={' '.join(['--headless=new', *QUIET])}"]
    environment = {**os.environ, "CHROME_PATH": chromium()}
    subprocess.run([command, address, *options], env=environment, check=True, timeout=SECONDS)
    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["finalDisplayedUrl"] == address and "runtimeError" not in found
    return {name: 100 * found["categories"][name]["score"] for name in categories}


def heaviest(site: Site) -> str:
    """The lesson with the longest page."""
    return max(site.slugs, key=lambda slug: (site.folder / "lessons" / f"{slug}.html").stat().st_size)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("page", ["front page", "heaviest lesson"])
def test_lighthouse(
    compressed: str, site: Site, page: str, device: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    place = compressed if page == "front page" else f"{compressed}lessons/{heaviest(site)}.html"
    categories = ["accessibility", *(["performance"] if pytestconfig.getoption("--all") else [])]
    best = dict.fromkeys(categories, 0.0)
    for _ in range(TRIES):
        found = scores(place, device, categories, tmp_path / "report.json")
        best = {name: max(best[name], found[name]) for name in categories}
        if min(best.values()) >= WANTED:
            return
    assert min(best.values()) >= WANTED, best
