"""Copal before Wagtail: what a site's visitors, readers and editors meet, and what the CMS is spared.

Each test has pages of its own (n1…n5 under /news/, a1…a5 under /articles/), so that they do not depend on their order.
"""
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from editor import Editor
from harness.processes import wait_until
from harness.visitor import cache_status, is_hit

USER = re.compile(r'<p class="user">(.*?)</p>')


def user_line(page):
    """What a page says of who is looking at it."""
    assert page.status_code == 200, page.text
    assert "<esi:" not in page.text
    found = USER.findall(page.text)
    assert len(found) == 1, page.text
    return found[0]


def assert_never_stored(page):
    status = cache_status(page)
    assert "hit" not in status and "stored" not in status, status
    assert "Age" not in page.headers


@pytest.fixture
def alice(copal):
    return copal.visitor().sign_in("/accounts/login/", "alice")


@pytest.fixture
def bob(copal):
    return copal.visitor().sign_in("/accounts/login/", "bob")


@pytest.fixture
def editor(copal):
    return Editor(copal.visitor())


# An anonymous visitor's second view is a hit that the CMS never sees.


@pytest.mark.parametrize("path", ["/", "/news/n1/"])
def test_the_second_view_is_a_hit_that_the_cms_never_sees(copal, cms, path):
    first = copal.visitor().get(path)
    assert first.status_code == 200
    assert not is_hit(first) and "stored" in cache_status(first)
    assert len(cms.requests(path)) == 1

    visitor = copal.visitor()
    for _ in range(3):
        again = visitor.get(path)
        assert is_hit(again), again.headers
        assert again.content == first.content
        assert "Age" in again.headers
    assert len(cms.requests(path)) == 1


def test_analytics_cookies_and_the_csrf_cookie_do_not_spoil_the_hit(copal, cms):
    copal.visitor().get("/news/")
    visitor = copal.visitor()
    visitor.get("/accounts/login/")
    assert "csrftoken" in visitor.cookies
    visitor.headers["Cookie"] = f"_ga=GA1.2.3; _gid=4; csrftoken={visitor.cookies['csrftoken']}"
    assert is_hit(visitor.get("/news/"))
    assert [seen["cookies"] for seen in cms.requests("/news/")] == [[]]


# The editor publishes: the CMS's own PURGE arrives, and the next anonymous view is the new page.


@pytest.mark.parametrize("path", ["/news/n2/", "/articles/a2/"])
def test_a_published_page_is_there_at_the_next_view(copal, cms, editor, path):
    slug = path.split("/")[2]
    copal.visitor().get(path)
    before = copal.visitor().get(path)
    assert is_hit(before) and "Brand new." not in before.text

    editor.publish(slug, body="Brand new.")

    after = copal.visitor().get(path)
    assert "Brand new." in after.text
    assert not is_hit(after)
    again = copal.visitor().get(path)
    assert is_hit(again) and "Brand new." in again.text
    line = wait_until(lambda: copal.purges(path), "the CMS's PURGE in the access log")[0]
    assert '" 200 ' in line and "Wagtail-frontendcache/" in line
    assert "Couldn't purge" not in cms.output()


def test_a_draft_changes_nothing_for_visitors_and_its_preview_is_never_stored(copal, editor):
    copal.visitor().get("/articles/a3/")
    editor.save_draft("a3", body="A secret draft.")
    preview = editor.preview("a3", body="A secret draft.")
    assert "A secret draft." in preview.text
    assert_never_stored(preview)
    page = copal.visitor().get("/articles/a3/")
    assert is_hit(page) and "A secret draft." not in page.text


def test_an_unpublished_page_is_gone_at_the_next_view(copal, editor):
    copal.visitor().get("/news/n3/")
    assert is_hit(copal.visitor().get("/news/n3/"))
    editor.unpublish("n3")
    assert copal.visitor().get("/news/n3/").status_code == 404


def test_a_purge_from_elsewhere_is_refused(copal):
    copal.visitor().get("/news/n1/")
    assert copal.visitor(source="127.0.0.2").request("PURGE", "/news/n1/").status_code == 403
    assert is_hit(copal.visitor().get("/news/n1/"))


# The admin is never stored.


def test_the_admin_is_never_stored(copal, cms, editor):
    for path in ["/admin/", "/admin/pages/"]:
        seen = len(cms.requests(path))
        for _ in range(2):
            page = editor.visitor.get(path)
            assert page.status_code in (200, 302)
            assert_never_stored(page)
        assert len(cms.requests(path)) == seen + 2
    stranger = copal.visitor().get("/admin/")
    assert stranger.status_code == 302 and stranger.headers["Location"].startswith("/admin/login/")
    assert_never_stored(stranger)


@pytest.mark.parametrize("path", ["/admin/login/", "/accounts/login/"])
def test_each_visitor_gets_a_login_form_of_their_own(copal, path):
    one, other = copal.visitor(), copal.visitor()
    for page in [one.get(path), other.get(path)]:
        assert page.status_code == 200
        assert_never_stored(page)
    assert one.cookies["csrftoken"] != other.cookies["csrftoken"]


# A signed-in user's page is never given to anyone else.


def test_a_signed_in_users_page_is_given_to_nobody_else(copal, cms, alice, bob):
    assert user_line(alice.get("/news/n4/")) == "signed in as alice"
    first = copal.visitor().get("/news/n4/")
    assert user_line(first) == "not signed in"
    assert not is_hit(first), "what alice got had been stored"
    assert user_line(bob.get("/news/n4/")) == "signed in as bob"
    again = copal.visitor().get("/news/n4/")
    assert user_line(again) == "not signed in" and is_hit(again)
    mine = alice.get("/news/n4/")
    assert user_line(mine) == "signed in as alice"
    assert_never_stored(mine)
    assert ["sessionid" in seen["cookies"] for seen in cms.requests("/news/n4/")] == [True, False, True, True]


def test_the_editors_user_bar_is_given_to_nobody_else(copal, editor):
    assert "wagtail-userbar" in editor.visitor.get("/news/n1/").text
    for _ in range(2):
        assert "wagtail-userbar" not in copal.visitor().get("/news/n1/").text


# A page with an ESI user block is a hit for everyone, while each visitor sees their own name.


def test_an_esi_page_is_a_hit_for_everyone_and_greets_each_by_name(copal, cms, alice, bob):
    path = "/articles/a1/"
    first = copal.visitor().get(path)
    assert user_line(first) == "hello guest" and not is_hit(first)
    blocks = len(cms.requests("/esi/user/"))

    views = [(alice, "hello alice"), (bob, "hello bob"), (copal.visitor(), "hello guest"), (alice, "hello alice")]
    for visitor, greeting in views:
        page = visitor.get(path)
        assert user_line(page) == greeting
        assert is_hit(page), page.headers
        assert "Article text 1." in page.text

    assert len(cms.requests(path)) == 1, "the page itself is fetched once"
    seen = cms.requests("/esi/user/")[blocks:]
    assert ["sessionid" in one["cookies"] for one in seen] == [True, True, False, True]


def test_an_esi_page_fetched_for_a_signed_in_user_is_stored_without_them(copal, cms, alice, bob):
    path = "/articles/a4/"
    assert user_line(alice.get(path)) == "hello alice"
    assert [one["cookies"] for one in cms.requests(path)] == [[]]
    assert user_line(bob.get(path)) == "hello bob"
    assert user_line(copal.visitor().get(path)) == "hello guest"
    assert len(cms.requests(path)) == 1


def test_an_assembled_page_does_not_carry_the_templates_length_or_validators(copal, alice):
    page = alice.get("/articles/a1/")
    assert int(page.headers.get("Content-Length", len(page.content))) == len(page.content)
    assert "ETag" not in page.headers and "Last-Modified" not in page.headers
    assert page.text.rstrip().endswith("</html>")


def test_the_cms_is_told_that_the_cache_does_esi(copal, cms):
    copal.visitor().get("/articles/a3/")
    assert 'ESI/1.0' in cms.requests("/articles/a3/")[0]["headers"].get("surrogate-capability", "")


# All at once.


def test_nobody_meets_a_strangers_name_in_a_crowd(copal, alice, bob):
    paths, rounds = ["/news/n5/", "/articles/a5/"], 30
    signed_out = ["not signed in", "hello guest"]
    crowd = [(alice, ["signed in as alice", "hello alice"]), (bob, ["signed in as bob", "hello bob"])]
    crowd += [(copal.visitor(), signed_out) for _ in range(4)]

    def visit(visitor, expected, purge=False):
        for _ in range(rounds):
            if purge:
                assert [visitor.request("PURGE", path).status_code for path in paths] == [200, 200]
            assert [user_line(visitor.get(path)) for path in paths] == expected

    with ThreadPoolExecutor(len(crowd) + 1) as pool:
        visits = [pool.submit(visit, *one) for one in crowd]
        visits.append(pool.submit(visit, copal.visitor(), signed_out, purge=True))
        for done in visits:
            done.result()
