"""The site in a real browser: Chromium from Debian, without a window."""
import pytest

from conftest import HOST
from harness.browser import browser

BAR = "#wpadminbar"


@pytest.fixture
def open_browser(copal, tmp_path_factory):
    """Opens a browser of somebody's own."""
    return lambda: browser(HOST, copal.port, tmp_path_factory.mktemp("chromium"))


def sign_in(window, name, to="/"):
    window.open(f"/wp-login.php?redirect_to=http%3A%2F%2F{HOST}{to}")
    # The form's script puts the cursor into the first field after a moment, which takes it out of the second.
    window.until(lambda driver: driver.execute_script("return document.activeElement.id === 'user_login'"), "the cursor in the form")
    window.fill("#user_login", name)
    window.fill("#user_pass", f"{name}-secret")
    window.submit("#wp-submit")


def test_a_visitor_reads_comments_and_comes_again(open_browser):
    with open_browser() as window:
        window.open("/")
        assert "hit" in window.open("/")
        window.open("/story-11/")
        status = window.open("/story-11/?utm_source=newsletter")
        assert "hit" in status
        assert "Text of story 11." in window.text() and not window.has(BAR)

        window.fill("#comment", "Typed with real keys.")
        window.fill("#author", "keyboard-hero")
        window.fill("#email", "keyboard-hero@mail.example.test")
        window.submit("#commentform [type=submit]")
        assert "Typed with real keys." in window.text() and "awaiting moderation" in window.text()

    with open_browser() as other:
        assert "hit" in other.open("/story-11/")
        assert "Typed with real keys." not in other.text()


def test_an_editor_publishes_and_the_next_visitor_reads_it(open_browser):
    with open_browser() as visitor, open_browser() as editor:
        visitor.open("/story-10/")
        assert "hit" in visitor.open("/story-10/")

        sign_in(editor, "edwinaquill", "/story-10/")
        assert "hit" not in editor.cache_status()
        assert "Edwina Featherstonehaugh" in editor.find(BAR).get_attribute("textContent")

        editor.submit("#wp-admin-bar-edit a")
        editor.until(
            lambda driver: driver.execute_script("return !!(window.wp && wp.data && wp.data.select('core/editor').getCurrentPostId())"),
            "the block editor",
        )
        editor.driver.execute_script(
            "wp.data.dispatch('core/preferences').set('core/edit-post', 'welcomeGuide', false);"
            "wp.data.dispatch('core/editor').editPost({title: 'Written in Chromium'});"
        )
        editor.until(
            lambda driver: driver.find_element("css selector", ".editor-post-publish-button").get_attribute("aria-disabled") == "false",
            "a button that can be pressed",
        )
        editor.click(".editor-post-publish-button")
        editor.find(".components-snackbar")

        status = visitor.open("/story-10/")
        assert "hit" not in status
        assert "Written in Chromium" in visitor.text() and not visitor.has(BAR)
        assert "hit" in visitor.open("/story-10/")

        editor.open("/story-10/")
        assert editor.has(BAR)
        editor.driver.get(editor.find("#wp-admin-bar-logout a").get_attribute("href"))
        assert "loggedout=true" in editor.path()
        status = editor.open("/story-10/")
        assert "hit" in status, editor.driver.get_cookies()
        assert not editor.has(BAR)
