"""Copal before WordPress: what a site's visitors, members and editors meet, and what the CMS is spared.

Each test has stories of its own, so that they do not depend on their order.
"""
import re

import pytest

from conftest import ADMIN_PASSWORD
from harness.visitor import cache_status, is_hit
from people import Editor, comment, path_of, sign_in, sign_out

BAR = 'id="wpadminbar"'
BALLOT = re.compile(r"ballot-[0-9a-f]{12}")


def assert_never_stored(page):
    status = cache_status(page)
    assert "hit" not in status and "stored" not in status, status
    assert "Age" not in page.headers


def assert_hit_with(page, text):
    assert page.status_code == 200 and is_hit(page), page.headers
    assert text in page.text


@pytest.fixture
def alice(copal):
    return sign_in(copal.visitor(), "alicemarch")


@pytest.fixture
def bob(copal):
    return sign_in(copal.visitor(), "bobtremaine")


@pytest.fixture
def editor(copal):
    return Editor(copal.visitor())


# An anonymous visitor's second view is a hit that WordPress never sees.


@pytest.mark.parametrize("path", ["/", "/story-1/", "/about/", "/category/news/", "/?p=4", "/feed/"])
def test_the_second_view_is_a_hit_that_wordpress_never_sees(copal, cms, path):
    first = copal.visitor().get(path)
    assert first.status_code in (200, 301)
    assert not is_hit(first)
    seen = len(cms.requests())
    visitor = copal.visitor()
    for _ in range(3):
        again = visitor.get(path)
        assert is_hit(again), again.headers
        assert again.content == first.content and again.headers.get("Location") == first.headers.get("Location")
        assert "Age" in again.headers
    assert len(cms.requests()) == seen


def test_campaigns_analytics_and_the_login_forms_cookie_do_not_spoil_the_hit(copal, cms):
    before = len(cms.requests("/story-2/"))
    copal.visitor().get("/story-2/")
    visitor = copal.visitor()
    visitor.get("/wp-login.php")
    assert "wordpress_test_cookie" in visitor.cookies
    visitor.headers["Cookie"] = "_ga=GA1.2.3; _fbp=fb.1; wordpress_test_cookie=WP%20Cookie%20check"
    assert is_hit(visitor.get("/story-2/?utm_source=mail&gclid=1"))
    assert [seen["cookies"] for seen in cms.requests("/story-2/")[before:]] == [[]]


def test_files_of_the_theme_are_hits_for_members_too(copal, alice):
    style = "/wp-includes/css/dist/block-library/style.min.css?ver=6.1.9"
    copal.visitor().get(style)
    page = copal.visitor().get(style)
    assert is_hit(page) and page.headers["Content-Type"].startswith("text/css")
    assert alice.get(style).content == page.content


# Members and editors get their own pages, and nobody else does.


def test_a_members_page_is_given_to_nobody_else(copal, alice, bob):
    path = "/story-3/"
    for _ in range(2):
        mine = alice.get(path)
        assert "Alice Marchbanks" in mine.text and BAR in mine.text
        assert_never_stored(mine)
    first = copal.visitor().get(path)
    assert not is_hit(first), "what alice got had been stored"
    for page in [first, copal.visitor().get(path)]:
        assert BAR not in page.text and "Marchbanks" not in page.text and "nonce" not in page.text
    theirs = bob.get(path)
    assert "Bob Tremainewright" in theirs.text and "Marchbanks" not in theirs.text
    assert "Alice Marchbanks" in alice.get(path).text


def test_who_signs_out_is_a_stranger_again(copal, alice):
    copal.visitor().get("/story-4/")
    assert BAR in alice.get("/story-4/").text
    sign_out(alice)
    page = alice.get("/story-4/")
    assert_hit_with(page, "Text of story 4.")
    assert BAR not in page.text
    assert alice.get("/wp-admin/profile.php").status_code == 302


def test_the_admin_is_never_stored(copal, editor):
    for path in ["/wp-admin/", "/wp-admin/edit.php", "/wp-admin/profile.php", "/wp-admin/admin-ajax.php?action=heartbeat"]:
        for _ in range(2):
            assert_never_stored(editor.visitor.get(path))
        for _ in range(2):
            assert_never_stored(copal.visitor().get(path))
    stranger = copal.visitor().get("/wp-admin/edit.php")
    assert stranger.status_code == 302 and "/wp-login.php?redirect_to=" in stranger.headers["Location"]
    assert "Edwina Featherstonehaugh" in editor.visitor.get("/wp-admin/profile.php").text


def test_the_administrator_of_the_installer_can_work(copal):
    admin = sign_in(copal.visitor(), "adminuser", ADMIN_PASSWORD)
    page = admin.get("/wp-admin/options-general.php")
    assert page.status_code == 200 and 'value="Sample"' in page.text
    assert_never_stored(page)


def test_the_rest_interface_knows_each_user(copal, editor, alice):
    mine = editor.visitor.get("/wp-json/wp/v2/users/me?context=edit", headers={"X-WP-Nonce": editor.nonce})
    assert mine.json()["email"] == "edwinaquill@mail.example.test"
    assert_never_stored(mine)
    assert copal.visitor().get("/wp-json/wp/v2/users/me?context=edit").status_code == 401
    assert alice.get("/wp-json/wp/v2/users/me?context=edit").status_code == 401, "a cookie without its nonce"


def test_a_protected_story_shows_itself_to_those_who_know_the_word(copal):
    path, secret = "/members-story/", "zanzibar-crocus"
    copal.visitor().get(path)
    page = copal.visitor().get(path)
    assert is_hit(page) and secret not in page.text

    knows = copal.visitor()
    answer = knows.post("/wp-login.php?action=postpass", data={"post_password": "open sesame"}, headers={"Referer": f"http://www.example.test{path}"})
    assert answer.status_code == 302
    for _ in range(2):
        page = knows.get(path)
        assert secret in page.text
        assert_never_stored(page)
    assert secret not in copal.visitor().get(path).text


def test_a_careless_plug_ins_session_is_given_to_nobody_else(copal):
    visitors = [copal.visitor() for _ in range(3)]
    ballots = [BALLOT.search(visitor.get("/poll/").text)[0] for visitor in visitors]
    assert len(set(ballots)) == 3
    assert len({visitor.cookies["PHPSESSID"] for visitor in visitors}) == 3
    for visitor in visitors:
        assert_never_stored(visitor.get("/poll/"))


# Comments.


def test_a_comment_waits_for_the_editor_and_is_then_there_at_once(copal, editor):
    path, text = "/story-5/", "I beg to differ, says the walrus."
    copal.visitor().get(path)
    stranger = copal.visitor()
    waiting = comment(stranger, path, text, name="walrus-of-fame")
    assert text in waiting.text and "awaiting moderation" in waiting.text
    assert_never_stored(waiting)
    again = stranger.get(path)
    assert "walrus-of-fame" in again.text, "the form remembers the name"
    assert_never_stored(again)
    for page in [copal.visitor().get(path), copal.visitor().get(path)]:
        assert text not in page.text and "walrus-of-fame" not in page.text

    editor.approve(text)
    page = copal.visitor().get(path)
    assert text in page.text and "awaiting moderation" not in page.text
    assert_hit_with(copal.visitor().get(path), text)


def test_a_members_comment_is_shown_to_the_member_only(copal, alice, bob):
    path, text = "/story-6/", "Mine alone until somebody looks."
    copal.visitor().get(path)
    assert text in comment(alice, path, text).text
    assert text in alice.get(path).text
    for visitor in [bob, copal.visitor(), copal.visitor()]:
        assert text not in visitor.get(path).text


# What is published is there at the next view.


def test_a_change_is_there_at_the_next_view_of_every_page_that_shows_it(copal, cms, editor):
    pages = ["/story-12/", "/", "/category/letters/", "/feed/", "/tag/tag0/"]
    for path in pages:
        copal.visitor().get(path)
        assert is_hit(copal.visitor().get(path)), path
    editor.publish("story-12", title="Extra extra", content="<p>Brand new words.</p>")
    assert {(path, 200) for path in pages} <= {(one["path"], one["answer"]) for one in cms.purges()}
    for path in pages:
        assert "Extra extra" in copal.visitor().get(path).text, path
        assert_hit_with(copal.visitor().get(path), "Extra extra")
    assert "Brand new words." in copal.visitor().get("/story-12/").text


def test_a_new_story_is_on_the_front_page_at_once_and_gone_when_thrown_away(copal, editor):
    assert copal.visitor().get("/hot-off-the-press/").status_code == 404
    for _ in range(2):
        front = copal.visitor().get("/")
    assert is_hit(front) and "Hot off the press" not in front.text
    editor.write("hot-off-the-press", title="Hot off the press", content="<p>Ink still wet.</p>")
    for path in ["/", "/feed/", "/hot-off-the-press/"]:
        assert "Hot off the press" in copal.visitor().get(path).text, path
        assert_hit_with(copal.visitor().get(path), "Hot off the press")
    editor.trash("hot-off-the-press")
    assert copal.visitor().get("/hot-off-the-press/").status_code == 404
    assert "Hot off the press" not in copal.visitor().get("/").text


def test_a_draft_and_its_preview_are_the_editors_alone(copal, editor):
    number = editor.write("not-yet", status="draft", content="<p>A draft full of secrets.</p>")
    path = f"/?p={number}&preview=true"
    for _ in range(2):
        preview = editor.visitor.get(path)
        assert "A draft full of secrets." in preview.text
        assert_never_stored(preview)
    for stranger in [copal.visitor(), copal.visitor()]:
        page = stranger.get(path)
        assert page.status_code in (301, 302, 404) and "secrets" not in page.text


def test_a_preview_of_a_change_changes_nothing_for_visitors(copal, editor):
    copal.visitor().get("/story-8/")
    number = editor.post_id("story-8")
    saved = editor.call("POST", f"/posts/{number}/autosaves", json={"content": "<p>Unripe words.</p>"})
    preview = editor.visitor.get(path_of(saved["preview_link"]))
    assert "Unripe words." in preview.text
    assert_never_stored(preview)
    assert_hit_with(copal.visitor().get("/story-8/"), "Text of story 8.")


def test_a_purge_from_elsewhere_is_refused(copal):
    copal.visitor().get("/story-9/")
    assert copal.visitor(source="127.0.0.2").request("PURGE", "/story-9/").status_code in (403, 405)
    assert is_hit(copal.visitor().get("/story-9/"))


# Every plug-in's own words.


@pytest.mark.parametrize("dialect", ["urls", "regex", "tags", "w3tc", "nginx-helper"])
def test_what_each_plug_in_sends_shows_the_new_page(copal, cms, editor, dialect):
    cms.settings(dialect=dialect)
    path, text = "/story-10/", f"Changed and told by {dialect}."
    for _ in range(2):
        page = copal.visitor().get(path)
    assert is_hit(page), page.headers
    before = len(cms.purges())
    editor.publish("story-10", content=f"<p>{text}</p>")
    sent = cms.purges()[before:]
    # Nginx Helper is told of what was not there.
    assert sent and {one["answer"] for one in sent} <= ({200, 404} if dialect == "nginx-helper" else {200}), sent
    assert text in copal.visitor().get(path).text
    assert_hit_with(copal.visitor().get(path), text)
    assert "X-Cache-Tags" not in copal.visitor().get(path).headers


def test_php_had_nothing_to_complain_of(cms):
    assert "purge.php" not in cms.complaints() and "Fatal" not in cms.complaints(), cms.complaints()
