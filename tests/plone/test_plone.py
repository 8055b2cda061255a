"""Copal before Plone: what a site's visitors, members and editors meet, and what the CMS is spared.

The purges are those of plone.cachepurging, Plone's own. It sends them from a thread of its own after the editor has the answer, so
what is published is waited for. Each test has pages of its own (news-1… and papers-1…), so that they do not depend on their order.
"""
import pytest

from harness.processes import wait_until
from harness.visitor import cache_status, is_hit
from people import Editor, sign_in, sign_out

TOOLBAR = 'id="personaltools-menulink"'


def assert_never_stored(page):
    status = cache_status(page)
    assert "hit" not in status and "stored" not in status, status
    assert "Age" not in page.headers


@pytest.fixture
def alice(copal):
    return sign_in(copal.visitor(), "alicemarch")


@pytest.fixture
def bob(copal):
    return sign_in(copal.visitor(), "bobtremaine")


@pytest.fixture
def editor(copal):
    return Editor(copal.visitor())


@pytest.mark.parametrize("path", ["/", "/news", "/news/news-1", "/papers/papers-1/view", "/++plone++static/bundle-plone/bundle.min.js"])
def test_the_second_view_is_a_hit_that_plone_never_sees(copal, cms, path):
    first = copal.visitor().get(path)
    assert first.status_code == 200 and not is_hit(first)
    seen = len(cms.requests())
    visitor = copal.visitor()
    visitor.headers["Cookie"] = "_ga=GA1.2.3; _pk_id.1.1=4"
    for again in [visitor.get(path), visitor.get(path), visitor.get(path if path.endswith(".js") else f"{path}?utm_source=mail")]:
        assert is_hit(again), again.headers
        assert again.content == first.content and "Age" in again.headers
    assert len(cms.requests()) == seen


def test_a_members_page_is_given_to_nobody_else(copal, alice, bob):
    path = "/news/news-2"
    for _ in range(2):
        mine = alice.get(path)
        assert "Alice Marchbanks" in mine.text and TOOLBAR in mine.text
        assert_never_stored(mine)
    first = copal.visitor().get(path)
    assert not is_hit(first), "what alice got had been stored"
    for page in [first, copal.visitor().get(path)]:
        assert TOOLBAR not in page.text and "Marchbanks" not in page.text and "_authenticator" not in page.text
    theirs = bob.get(path)
    assert "Bob Tremainewright" in theirs.text and "Marchbanks" not in theirs.text


def test_who_signs_out_is_a_stranger_again(copal, alice):
    copal.visitor().get("/news/news-3")
    assert TOOLBAR in alice.get("/news/news-3").text
    sign_out(alice)
    # The farewell waits in a cookie for the next page that is made for this visitor.
    alice.get("/logged-out")
    alice.get("/login")
    page = alice.get("/news/news-3")
    assert is_hit(page), (page.headers, alice.cookies)
    assert TOOLBAR not in page.text
    assert alice.get("/@@personal-information").status_code == 302


def test_what_is_somebodys_own_is_never_stored(copal, editor, alice):
    for visitor, path in [(editor.visitor, "/news/news-1/edit"), (editor.visitor, "/news/folder_contents"),
                          (alice, "/@@personal-information"), (copal.visitor(), "/login"), (copal.visitor(), "/@@personal-information")]:
        for _ in range(2):
            assert_never_stored(visitor.get(path))
    assert "alicemarch@mail.example.test" in alice.get("/@@personal-information").text


def test_a_change_is_there_by_plones_own_purge(copal, cms, editor):
    # The page itself is invalidated by the editor's POST to it, and by where that leads. Its other view only by a purge.
    path = "/papers/papers-2"
    for view in [path, f"{path}/view"]:
        copal.visitor().get(view)
        page = copal.visitor().get(view)
        assert is_hit(page) and "Brand new words" not in page.text
    editor.change(path, title="Brand new words")
    for view in [path, f"{path}/view"]:
        wait_until(lambda: is_hit(page := copal.visitor().get(view)) and "Brand new words" in page.text, f"the purge of {view}")
    assert "Error while purging" not in cms.output()


def test_a_private_page_is_the_editors_until_it_is_published(copal, editor, alice):
    path = editor.write("/news", title="Under wraps")
    assert "Under wraps" in editor.visitor.get(path).text
    for stranger in [copal.visitor(), copal.visitor(), alice]:
        page = stranger.get(path)
        assert page.status_code == 302 and "/require_login" in page.headers["Location"]
        assert_never_stored(page)
    editor.publish(path)
    wait_until(lambda: copal.visitor().get(path).status_code == 200, "the published page")
    wait_until(lambda: is_hit(copal.visitor().get(path)), "a hit of it")
    page = copal.visitor().get(path)
    assert "Under wraps" in page.text and TOOLBAR not in page.text


def test_a_purge_from_elsewhere_is_refused(copal):
    copal.visitor().get("/news/news-4")
    assert copal.visitor(source="127.0.0.2").request("PURGE", "/news/news-4").status_code in (403, 405)
    assert is_hit(copal.visitor().get("/news/news-4"))
