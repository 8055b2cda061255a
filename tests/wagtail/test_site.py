"""The sample site by itself: what the tests with Copal take for granted."""
import http.server
import threading

import pytest

from conftest import HOST
from editor import Editor
from harness.visitor import Visitor


class Recorder(http.server.BaseHTTPRequestHandler):
    """Stands where the cache would: writes down each PURGE."""

    def do_PURGE(self):
        self.server.purged.append(("http://" + self.headers["Host"] + self.path, self.headers["User-Agent"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def recorder():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.purged = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def site(start_cms, recorder):
    with start_cms(recorder.server_port) as server:
        yield server.cms


@pytest.fixture
def visit(site):
    return lambda: Visitor(site.port, HOST)


def test_pages_may_be_kept_by_a_shared_cache(visit):
    for path in ["/", "/news/n1/", "/articles/a1/"]:
        page = visit().get(path)
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "max-age=0, s-maxage=3600"
        assert "Set-Cookie" not in page.headers


def test_a_page_without_the_session_does_not_vary(visit):
    assert "Vary" not in visit().get("/").headers
    assert "Vary" not in visit().get("/articles/a1/").headers
    assert visit().get("/news/n1/").headers["Vary"] == "Cookie"


def test_the_site_offers_signed_in_pages_to_shared_caches_by_mistake(visit):
    page = visit().sign_in("/accounts/login/", "alice").get("/news/n1/")
    assert "signed in as alice" in page.text
    assert "s-maxage" in page.headers["Cache-Control"]


def test_the_user_block_is_private(visit):
    guest = visit().get("/esi/user/")
    assert "hello guest" in guest.text
    assert guest.headers["Cache-Control"] == "private, no-store"
    assert "hello bob" in visit().sign_in("/accounts/login/", "bob").get("/esi/user/").text


def test_articles_ask_for_the_user_block(visit):
    assert '<esi:include src="/esi/user/"/>' in visit().get("/articles/a1/").text


def test_publishing_has_purged_the_page_before_the_editor_gets_the_answer(visit, recorder):
    editor = Editor(visit())
    recorder.purged.clear()
    editor.publish("n2", body="Changed.")
    urls = [url for url, _ in recorder.purged]
    assert urls == [f"http://{HOST}/news/n2/"]
    assert recorder.purged[0][1].startswith("Wagtail-frontendcache/")
    assert "Changed." in visit().get("/news/n2/").text


def test_a_draft_is_not_published_and_purges_nothing(visit, recorder):
    editor = Editor(visit())
    recorder.purged.clear()
    editor.save_draft("n3", body="Not yet.")
    assert recorder.purged == []
    assert "Not yet." not in visit().get("/news/n3/").text


def test_the_request_log_has_what_the_site_saw(visit, site):
    visit().get("/news/?seen=1", cookies={"colour": "blue"})
    last = site.requests()[-1]
    assert (last["method"], last["path"], last["query"], last["cookies"]) == ("GET", "/news/", "seen=1", ["colour"])
