"""What Copal serves, under a public HTTP linter: no note of the levels `bad` and `warning` but those accepted here, each with its reason."""
import pytest

from harness.processes import Server, copal_binary, free_port
from lint import Served, exchange, linted
from pages import LAST_MODIFIED, Origin

CONFIG = """
listen: "127.0.0.1:{port}"
origins: {{ site: "http://127.0.0.1:{origin}" }}
purge: {{ allow: ["127.0.0.1"] }}
log: {{ access: off }}
rules:
  - name: assembled
    match: {{ path: "/assembled" }}
    cache: {{}}
    esi: true
  - name: gone
    match: {{ path: "/gone" }}
    respond: {{ status: 410, headers: {{ Content-Type: "text/plain; charset=utf-8", Cache-Control: "max-age=60" }}, body: "Gone.\\n" }}
  - name: elsewhere
    match: {{ path: "/elsewhere" }}
    respond: {{ status: 308, redirect: "/page" }}
"""

# Notes that are right by the linter's lights and still no fault of Copal's: on what, and why.
ACCEPTED = {
    "assembled": {
        "FRESHNESS_NO_CACHE_NO_VALIDATOR": "A page whose fragments are still awaited when its head is sent has no validator (docs/decisions/0004): browsers are "
        "told to ask each time and get it whole. From the store it has one.",
    },
    "several parts": {
        "PARTIAL_WITHOUT_RANGE": "With several parts each has its own Content-Range, and the header section must not have one (RFC 9110 section 15.3.7.2).",
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    with Origin() as origin:
        config = folder / "copal.yaml"
        config.write_text(CONFIG.format(port=port, origin=origin.port))
        with Server("copal", [copal_binary(), "run", "--config", config], port, folder / "copal.log"):
            origin.ask = lambda path, method="GET", **headers: exchange(
                port, method, path, [(name.replace("_", "-"), value) for name, value in headers.items()]
            )
            yield origin


def clean(served, case):
    """The response, when there is nothing wrong with it."""
    accepted = ACCEPTED.get(case.partition(",")[0], {})
    faults = {name: told for name, told in served.faults().items() if name not in accepted}
    fields = "".join(f"\n    {name}: {value}" for name, value in served.headers)
    told = "".join(f"\n  {name}: {one}" for name, one in faults.items())
    assert not faults, f"{case}:{told}\n  in: {served.status}{fields}"
    return served


def status_of(served):
    """Copal's own words on how the response came about."""
    return served.header("cache-status").removeprefix("copal; ")


def test_the_linter_finds_what_is_wrong():
    bad = Served(200, [("Content-Type", "text/plain"), ("Age", "old"), ("Cache-Status", "copal; fwd=nowhere")], b"")
    bad.notes = linted("GET", "http://a.example/", [("User-Agent", "x")], bad, "OK", (1, 2))
    assert {"DATE_CLOCKLESS", "CACHE_STATUS_BAD_PARAM_VAL", "AGE_NOT_INT"} <= set(bad.faults())


def test_fetched_and_cached(site):
    fetched = clean(site.ask("/page"), "fetched")
    assert fetched.status == 200 and status_of(fetched).startswith("fwd=uri-miss")
    cached = clean(site.ask("/page"), "cached")
    assert cached.status == 200 and status_of(cached).startswith("hit") and cached.header("age") is not None
    assert cached.body == fetched.body


def test_validated(site):
    clean(site.ask("/validated"), "fetched, stale from its beginning")
    validated = clean(site.ask("/validated"), "validated")
    assert validated.status == 200 and "fwd-status=304" in status_of(validated)


def test_not_modified(site):
    site.ask("/page")
    for case, condition in [("tag", {"If_None_Match": '"r1"'}), ("date", {"If_Modified_Since": LAST_MODIFIED})]:
        assert clean(site.ask("/page", **condition), f"not modified, by {case}").status == 304


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=900-", "bytes=-1"])
def test_a_part(site, asked):
    site.ask("/bytes")
    part = clean(site.ask("/bytes", Range=asked), "part")
    assert part.status == 206 and part.header("content-range").endswith("/1000")


def test_several_parts(site):
    site.ask("/bytes")
    parts = clean(site.ask("/bytes", Range="bytes=0-9,500-509"), "several parts")
    assert parts.status == 206 and parts.header("content-type").startswith("multipart/byteranges; boundary=")


def test_a_part_that_is_not_there(site):
    site.ask("/bytes")
    none = clean(site.ask("/bytes", Range="bytes=1000-"), "no such part")
    assert none.status == 416 and none.header("content-range") == "bytes */1000"


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_negotiated_by_coding(site, coding):
    for case in ["negotiated, fetched", "negotiated, cached"]:
        served = clean(site.ask("/coded", Accept_Encoding=coding), case)
        assert (served.header("content-encoding") or "identity") == coding
    assert status_of(served).startswith("hit")


@pytest.mark.parametrize("language", ["de", "en"])
def test_negotiated_by_language(site, language):
    for case in ["negotiated, fetched", "negotiated, cached"]:
        assert clean(site.ask("/language", Accept_Language=language), case).header("content-language") == language


@pytest.mark.parametrize("path", ["/page", "/validated", "/coded", "/assembled", "/chunked"])
def test_head(site, path):
    for stored in ["nothing stored", "stored"]:
        served = clean(site.ask(path, "HEAD", Accept_Encoding="identity"), f"{path.strip('/')}, HEAD, {stored}")
        assert (served.status, served.body) == (200, b"")
        site.ask(path, Accept_Encoding="identity")


def test_assembled(site):
    for case in ["assembled, fetched", "assembled, cached"]:
        served = clean(site.ask("/assembled"), case)
        assert b"<b>fragment</b>" in served.body and served.header("etag") != '"r1"'
    unchanged = clean(site.ask("/assembled", If_None_Match=served.header("etag")), "assembled, not modified")
    assert unchanged.status == 304


def test_redirects(site):
    for case in ["redirect, fetched", "redirect, cached"]:
        assert clean(site.ask("/moved"), case).status == 301
    assert clean(site.ask("/elsewhere"), "redirect by a rule").status == 308


def test_errors(site):
    assert clean(site.ask("/nothing"), "404, fetched").status == 404
    assert clean(site.ask("/nothing"), "404, cached").status == 404
    assert clean(site.ask("/gone"), "410 by a rule").status == 410
    assert clean(site.ask("/broken"), "the origin hangs up").status == 502
    assert clean(site.ask("/page", "TRACE"), "refused").status == 405


def test_nothing_stored_and_only_that_asked_for(site):
    assert clean(site.ask("/never", Cache_Control="only-if-cached"), "only if cached").status == 504


def test_stale_while_the_origin_fails(site):
    site.ask("/failing")
    site.fail()
    served = clean(site.ask("/failing"), "stale")
    assert served.status == 200 and "ttl=-" in status_of(served)


def test_passed(site):
    assert clean(site.ask("/private", Cookie="id=1"), "passed").header("set-cookie")
    assert clean(site.ask("/chunked"), "passed in chunks").status == 200
    assert clean(site.ask("/page", "POST", Content_Length="0"), "POST").status == 204


def test_purged(site):
    site.ask("/page")
    assert clean(site.ask("/page", "PURGE"), "PURGE").status == 200
