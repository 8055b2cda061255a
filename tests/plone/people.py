"""Those who use the site: how they sign in and out, write and publish, as their browsers would."""
import html
import re
from urllib.parse import urlsplit

from harness.visitor import form_fields

PUBLISH = re.compile(r'href="([^"]*content_status_modify\?workflow_action=publish[^"]*)"')


def sign_in(visitor, name):
    """Fills in the login form. Gives the visitor."""
    fields = form_fields(visitor.get("/login"), "#LoginForm")
    fields |= {"__ac_name": name, "__ac_password": f"{name}-secret", "buttons.login": "Log in"}
    answer = visitor.post("/login", data=fields)
    assert answer.status_code == 302, f"{name} could not sign in: {answer.status_code}\n{answer.text}"
    assert "__ac" in visitor.cookies
    return visitor


def sign_out(visitor):
    answer = visitor.get("/logout")
    assert answer.status_code == 302, f"{answer.status_code}\n{answer.text}"
    assert "__ac" not in visitor.cookies


class Editor:
    """Works with Plone's own forms."""

    def __init__(self, visitor, name="edwinaquill"):
        self.visitor = sign_in(visitor, name)

    def change(self, path, **changes):
        """Saves changes to a page's title, description or text."""
        self._send(f"{path}/edit", changes)

    def write(self, folder, **fields):
        """A new page, which is private as yet. Gives its path."""
        where = self._send(f"{folder}/++add++Document", fields)
        return where.removesuffix("/view")

    def publish(self, path):
        """Follows the link of the page's menu."""
        link = PUBLISH.search(self.visitor.get(path).text)
        assert link, "no link to publish"
        answer = self.visitor.get(self._path(html.unescape(link[1])))
        assert answer.status_code == 302, f"{answer.status_code}\n{answer.text}"

    def _send(self, path, changes):
        fields = form_fields(self.visitor.get(path), "#form")
        names = {"title": "form.widgets.IDublinCore.title", "description": "form.widgets.IDublinCore.description",
                 "text": "form.widgets.IRichTextBehavior.text"}
        fields |= {names[name]: value for name, value in changes.items()} | {"form.buttons.save": "Save"}
        answer = self.visitor.post(path, data=fields)
        # Plone answers an accepted form with a redirect, and one that it does not like with the form again.
        assert answer.status_code == 302, f"{answer.status_code}\n{answer.text[:3000]}"
        return self._path(answer.headers["Location"])

    @staticmethod
    def _path(url):
        parts = urlsplit(url)
        return parts.path + (f"?{parts.query}" if parts.query else "")
