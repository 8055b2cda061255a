"""A small site: an origin that sends what a careful one would, so that each fault which the linter finds is Copal's."""
import gzip
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LAST_MODIFIED = "Mon, 05 Oct 2026 08:00:00 GMT"
HTML = ("Content-Type", "text/html; charset=utf-8")
MINUTE = ("Cache-Control", "max-age=60")
STALE = ("Cache-Control", "max-age=0")
VALIDATORS = [("ETag", '"r1"'), ("Last-Modified", LAST_MODIFIED)]
PAGE = "<!DOCTYPE html><html lang=en><title>Page</title><p>Grüße. {}</html>\n"


def page(text=""):
    return PAGE.format(text).encode()


class Site(BaseHTTPRequestHandler):
    """Each path is a kind of response."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        getattr(self, "page_" + path.strip("/").replace("-", "_"), self.missing)()

    do_HEAD = do_GET

    def do_POST(self):
        self.send(204, [])

    def send(self, status, headers, body=None):
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        for name, value in headers:
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body is not None and self.command != "HEAD":
            self.wfile.write(body)

    def page_page(self):
        self.send(200, [HTML, MINUTE, *VALIDATORS], page())

    def page_validated(self):
        if self.headers["If-None-Match"] == '"r1"':
            self.send(304, [STALE, *VALIDATORS])
        else:
            self.send(200, [HTML, STALE, *VALIDATORS], page())

    def page_bytes(self):
        self.send(200, [("Content-Type", "application/octet-stream"), MINUTE, *VALIDATORS], bytes(range(250)) * 4)

    def page_coded(self):
        wanted = "gzip" in self.headers.get("Accept-Encoding", "")
        coding, tag = ([("Content-Encoding", "gzip")], '"z"') if wanted else ([], '"i"')
        body = gzip.compress(page("x" * 2000)) if wanted else page("x" * 2000)
        self.send(200, [HTML, MINUTE, ("Vary", "Accept-Encoding"), ("ETag", tag), *coding], body)

    def page_language(self):
        language = "de" if self.headers.get("Accept-Language", "").startswith("de") else "en"
        fields = [("Vary", "Accept-Language"), ("Content-Language", language), ("ETag", f'"{language}"')]
        self.send(200, [HTML, MINUTE, *fields], page(language))

    def page_moved(self):
        self.send(301, [HTML, MINUTE, ("Location", "/page")], page("Moved."))

    def page_private(self):
        cookie = ("Set-Cookie", "id=1; Path=/; HttpOnly; SameSite=Lax")
        self.send(200, [HTML, ("Cache-Control", "private, no-cache"), ("ETag", '"p"'), cookie], page())

    def page_chunked(self):
        self.send(200, [HTML, ("Cache-Control", "no-store"), ("Transfer-Encoding", "chunked")])
        if self.command != "HEAD":
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(page()), page()))

    def page_assembled(self):
        self.send(200, [HTML, MINUTE, *VALIDATORS], page('<esi:include src="/fragment"/>'))

    def page_fragment(self):
        self.send(200, [HTML, MINUTE, ("ETag", '"f"')], b"<b>fragment</b>")

    def page_failing(self):
        if self.server.failing:
            self.send(503, [HTML, ("Cache-Control", "no-store")], page("Down."))
        else:
            self.send(200, [HTML, STALE, *VALIDATORS], page())

    def page_broken(self):
        self.close_connection = True

    def missing(self):
        self.send(404, [HTML, MINUTE], page("Not there."))

    def log_message(self, *_):
        pass


class Origin:
    """The site, running. Use it with `with`."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
        self.server.daemon_threads = True
        self.server.failing = False
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def fail(self):
        """From now on `/failing` is a 503."""
        self.server.failing = True

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
