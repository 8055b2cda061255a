"""Those who use the site: how they sign in and out, comment, write and look after comments, as their browsers would."""
import html
import itertools
import re

from harness.visitor import form_fields

_unique = itertools.count(1)
NONCE = re.compile(r'wpApiSettings = \{[^}]*"nonce":"([0-9a-f]{10})"')
SIGN_OUT = re.compile(r'href="http://www\.example\.test(/wp-login\.php\?action=logout[^"]*)"')


def path_of(url):
    """The path and query of a URL of the site."""
    assert url.startswith("http://www.example.test/"), url
    return url.removeprefix("http://www.example.test")


def sign_in(visitor, name, password=None):
    """Fills in the login form. Gives the visitor."""
    fields = form_fields(visitor.get("/wp-login.php"), "#loginform")
    fields.update(log=name, pwd=password or f"{name}-secret")
    answer = visitor.post("/wp-login.php", data=fields)
    assert answer.status_code == 302, f"{name} could not sign in: {answer.status_code}\n{answer.text}"
    assert any(cookie.startswith("wordpress_logged_in_") for cookie in visitor.cookies.keys())
    return visitor


def sign_out(visitor):
    """Follows the link of the admin bar."""
    link = SIGN_OUT.search(visitor.get("/").text)
    assert link, "no link to sign out"
    answer = visitor.get(html.unescape(link[1]))
    assert answer.status_code == 302, f"{answer.status_code}\n{answer.text}"
    assert not any(cookie.startswith("wordpress_logged_in_") for cookie in visitor.cookies.keys())


def comment(visitor, path, text, name=None):
    """Fills in the form below a story: a stranger with a name, and with leave to remember it. Gives the page that follows."""
    fields = form_fields(visitor.get(path), "#commentform")
    fields["comment"] = text
    if name:
        fields |= {"author": name, "email": f"{name}@mail.example.test", "wp-comment-cookies-consent": "yes"}
    answer = visitor.post("/wp-comments-post.php", data=fields)
    assert answer.status_code == 302, f"{answer.status_code}\n{answer.text}"
    return visitor.get(path_of(answer.headers["Location"].partition("#")[0]))


class Editor:
    """Works with the admin's own interface, by the requests that the block editor sends."""

    def __init__(self, visitor, name="edwinaquill"):
        self.visitor = sign_in(visitor, name)
        self.nonce = NONCE.search(self.visitor.get("/wp-admin/post-new.php").text)[1]

    def call(self, method, path, **options):
        """A request of the editor's scripts."""
        answer = self.visitor.request(method, f"/wp-json/wp/v2{path}", headers={"X-WP-Nonce": self.nonce}, **options)
        assert answer.status_code in (200, 201), f"{method} {path}: {answer.status_code}\n{answer.text[:2000]}"
        return answer.json()

    def post_id(self, slug, status="publish"):
        found = self.call("GET", "/posts", params={"slug": slug, "status": status, "context": "edit"})
        assert len(found) == 1, found
        return found[0]["id"]

    def publish(self, slug, **changes):
        """Changes a published story."""
        return self.call("POST", f"/posts/{self.post_id(slug)}", json={"status": "publish"} | changes)

    def write(self, slug, status="publish", **fields):
        """A new story. Gives its number."""
        title = f"{slug} {next(_unique)}"
        return self.call("POST", "/posts", json={"slug": slug, "title": title, "status": status, "comment_status": "open"} | fields)["id"]

    def trash(self, slug):
        self.call("DELETE", f"/posts/{self.post_id(slug)}")

    def approve(self, text):
        """Lets the comment with this text appear."""
        waiting = self.call("GET", "/comments", params={"status": "hold", "search": text, "context": "edit"})
        assert len(waiting) == 1, waiting
        self.call("POST", f"/comments/{waiting[0]['id']}", json={"status": "approved"})
