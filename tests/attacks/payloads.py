"""What a student may write to make a page act, and the server that hears of it when one does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

# {js} leaves the mark by script, {url} by a request.
PAYLOADS = {
    "script": "<script>{js}</script>",
    "script elsewhere": "<script src={url}></script>",
    "image error": '<img src="x:" onerror="{js}">',
    "svg load": '<svg onload="{js}"></svg>',
    "svg script": "<svg><script>{js}</script></svg>",
    "link": '<a href="javascript:{js}">more</a>',
    "link with capitals and a tab": '<a href="JaVa\tScRiPt:{js}">more</a>',
    "form": '<form action="javascript:{js}"><button>more</button></form>',
    "toggle": '<details open ontoggle="{js}">more</details>',
    "frame with a document": '<iframe srcdoc="<script>top.{js}</script>"></iframe>',
    "frame with a script": '<iframe src="javascript:top.{js}"></iframe>',
    "frame elsewhere": '<iframe src="{url}"></iframe>',
    "frame of data": '<iframe src="data:text/html,<script src={url}></script>"></iframe>',
    "end of everything": "</pre></code></span></p></textarea></title></style></script>--><script>{js}</script>",
    "image elsewhere": '<img src="{url}">',
    "object": '<object data="{url}"></object>',
    "embed": '<embed src="{url}">',
    "refresh": '<meta http-equiv="refresh" content="0;url={url}">',
    "style": '<style>@import "{url}"; * {{ display: none !important; }}</style>',
    "style sheet": '<link rel="stylesheet" href="{url}">',
    "background": '<b style="background:url({url})">more</b>',
    "video": '<video poster="{url}"></video>',
}
BRIEF = ("script", "image error")

# In Markdown's own signs.
MARKDOWN = {
    "a link": "[more](javascript:{js})",
    "an image elsewhere": "![more]({url})",
    "a diagram": "```mermaid\n</pre><script>{js}</script>\n```\n",
    "HTML": "\n\n<div>\n\n<script>{js}</script>\n\n</div>\n\n",
    "HTML in a formula": "$$<script>{js}</script>$$",
    "a link by reference": "[more][there]\n\n[there]: javascript:{js}\n",
}
FORMULAS = {
    "a link": r"$\href{javascript:pwn('%s')}{more}$",
    "a required extension": r"$\require{html}\href{javascript:pwn('%s')}{more}$",
    "a style": r"$\style{background:url(javascript:pwn('%s'))}{x}\class{navbar-fixed-top}{x}\cssId{notebook}{x}$",
    "text": r"$\text{<img src=x: onerror=pwn('%s')>}\unicode{<script>pwn(1)</script>}$",
}


class Listener:
    """A web server of this test: it serves pages, and remembers every other address that was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.heard: list[str] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                page = listener.pages.get(path)
                if page is None:
                    listener.heard.append(path)
                body = (page or "").encode("utf-8", "replace")
                self.send_response(200 if page is not None else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Listener]:
        """Serve, until the block is left."""
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        yield self
        self._server.shutdown()
        self._server.server_close()
        thread.join()

    def serve(self, name: str, page: str) -> str:
        """Serve a page, and give its address."""
        self.pages[f"/page/{name}"] = page
        return f"{self.url}/page/{name}"

    def armed(self, template: str, mark: str) -> str:
        """A payload that leaves `mark`."""
        return template.format(js=f"pwn('{mark}')", url=f"{self.url}/{mark}")

    def all(self, place: str, payloads: dict[str, str] = PAYLOADS) -> str:
        """All payloads, armed for one place, and a word that shows that they arrived."""
        return witness(place) + "".join(
            self.armed(template, f"{place}/{i}") for i, template in enumerate(payloads.values())
        )

    def brief(self, place: str) -> str:
        """The same with the shortest payloads, where there is little room."""
        return self.all(place, {name: PAYLOADS[name] for name in BRIEF})


def witness(place: str) -> str:
    """The word that shows that the payloads of a place arrived."""
    return f" witness-{place} "
