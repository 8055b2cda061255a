"""`copal demo` as a person tries it: with curl, by what it prints."""
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.processes import Server, copal_binary, free_port, wait_until  # noqa: E402


class Demo:
    """A running demo."""

    def __init__(self, server):
        self.server = server

    def curl(self, path, *options):
        """`curl -i`: the head as one text (names in lower case), and the body."""
        command = ["curl", "--silent", "--show-error", "--include", "--max-time", "20", *options]
        done = subprocess.run([*command, f"http://127.0.0.1:{self.server.port}{path}"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        status, *fields = head.splitlines()
        return "\n".join([status, *(field.partition(":")[0].lower() + field[field.find(":"):] for field in fields)]), body

    def printed(self, *words):
        """Waits for a line of its output that has all the words."""
        def line():
            return next((one for one in self.server.output().splitlines() if all(word in one for word in words)), None)
        return wait_until(line, f"a line with {words}")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    port, admin = free_port(), free_port()
    command = [copal_binary(), "demo", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    with Server("copal demo", command, port, tmp_path_factory.mktemp("demo") / "output.log") as server:
        yield Demo(server)


@pytest.fixture
def jar(tmp_path):
    """Where curl keeps one visitor's cookies."""
    return ["--cookie", str(tmp_path / "jar"), "--cookie-jar", str(tmp_path / "jar")]


def test_it_says_where_it_is_and_what_to_try(demo):
    demo.printed(f"http://127.0.0.1:{demo.server.port}")
    assert "curl" in demo.server.output()


def test_the_front_page_is_a_miss_then_a_hit(demo):
    first, page = demo.curl("/")
    assert first.startswith("HTTP/1.1 200") and "cache-status: copal; fwd=uri-miss" in first
    second, again = demo.curl("/")
    assert "cache-status: copal; hit" in second and "\nage: " in second
    assert again == page and "<h1>Today</h1>" in page
    assert demo.printed("hit", "/") and demo.printed("miss", "/")


def test_each_visitor_is_greeted_by_name_on_a_page_from_the_cache(demo, jar):
    head, page = demo.curl("/articles/greeting")
    assert "hello guest" in page
    login, _ = demo.curl("/login", "--data", "name=Ada", *jar)
    assert login.split()[1] in ("302", "303")
    for _ in range(2):
        head, page = demo.curl("/articles/greeting", *jar)
        assert "cache-status: copal; hit" in head
        assert "hello Ada" in page and "<esi:" not in page
    head, page = demo.curl("/articles/greeting")
    assert "cache-status: copal; hit" in head and "hello guest" in page and "Ada" not in page


def test_a_revised_article_is_there_after_a_purge(demo, jar):
    demo.curl("/login", "--data", "name=Ada", *jar)
    demo.curl("/articles/bakery")
    revised, _ = demo.curl("/admin/revise", "--data", "article=bakery", *jar)
    assert revised.split()[1] in ("302", "303")
    head, old = demo.curl("/articles/bakery")
    assert "cache-status: copal; hit" in head and "(revision 1)" not in old
    purged, _ = demo.curl("/articles/bakery", "--request", "PURGE")
    assert purged.startswith("HTTP/1.1 200")
    head, new = demo.curl("/articles/bakery")
    assert "cache-status: copal; fwd=uri-miss" in head and "(revision 1)" in new


def test_the_admin_area_is_never_stored(demo, jar):
    demo.curl("/login", "--data", "name=Ada", *jar)
    for _ in range(2):
        head, page = demo.curl("/admin", *jar)
        assert "cache-status: copal; fwd=bypass" in head and "Hello Ada" in page
    assert "Ada" not in demo.curl("/admin")[1]


def test_static_files_are_kept(demo):
    demo.curl("/static/style.css")
    head, _ = demo.curl("/static/style.css")
    assert head.startswith("HTTP/1.1 200") and "cache-status: copal; hit" in head


def test_it_stops_when_told(demo):
    assert demo.server.stop() == 0
