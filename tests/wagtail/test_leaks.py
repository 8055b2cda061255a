"""The leak hunt on Wagtail: members, strangers and an editor at once, and nobody may get what is another's.

Half of the pages are assembled: one stored template for everybody, with each visitor's own block. What each was sent is judged at the
end; so is all that Copal still has in its store. See tests/wordpress/README.md.
"""
import os
import re

from conftest import HOST
from editor import Editor
from harness.crowd import Recorded, Wanderer, let_loose
from harness.leaks import Hunt
from harness.visitor import form_fields

MEMBERS = ["alice", "bob", "carol"]
STRANGERS = ["quentin", "rosamund", "sebastian"]
PAGES = ["/", "/news/", "/articles/"] + [f"/news/n{number}/" for number in range(1, 6)] + [f"/articles/a{number}/" for number in range(1, 6)]
TOKENS = [r'name="csrfmiddlewaretoken" value="(\w{64})"']
MEMBERS_ONLY = r"signed in as |hello (?!guest)\w+</p>|<wagtail-userbar"
SEED = 20261128
# How many requests each makes, 5,000 in all.
EACH = {"stranger": 1000, "member": 550, "editor": 350}
# Part of it, for a first look.
PART = float(os.environ.get("HUNT_PART", 1))


class Visit(Wanderer):
    """What everybody does who has nothing but a browser."""

    site = f"http://{HOST}"
    shunned = re.compile("/logout/|^/admin/")

    def __init__(self, client, requests):
        super().__init__(client, requests, SEED)
        self.actions = [(10, self.follow), (30, self.read), (2, self.search), (1, self.login_form), (1, self.forget)]

    def read(self):
        self.get(self.random.choice(PAGES))

    def search(self):
        """A parameter that is in the key, though the page makes nothing of it."""
        self.get(f"/news/?q={self.secret('search')}")

    def login_form(self):
        self.get("/accounts/login/")

    def forget(self):
        self.client.cookies.clear()


class Member(Visit):
    """Signs in and out."""

    def __init__(self, client, requests):
        super().__init__(client, requests)
        for greeting in ["signed in as", "hello"]:
            client.hunt.own(f"{greeting} {client.name}", "name", client.name)
        self.actions = [(10, self.follow), (30, self.read), (2, self.search), (2, self.in_and_out)]
        self.enter()

    def enter(self):
        self.client.sign_in("/accounts/login/", self.client.name)

    def in_and_out(self):
        fields = {"csrfmiddlewaretoken": form_fields(self.client.get("/accounts/login/"), "form")["csrfmiddlewaretoken"]}
        assert self.client.post("/accounts/logout/", data=fields).status_code in (200, 302)
        assert "sessionid" not in self.client.cookies
        for _ in range(self.random.randrange(6)):
            self.read()
        self.enter()


class Chief(Member):
    """The editor: publishes all the while, so that pages are made anew, and looks at drafts."""

    def __init__(self, client, requests):
        super().__init__(client, requests)
        self.actions = [(10, self.follow), (20, self.read), (6, self.publish), (2, self.draft)]
        self.draft()

    def enter(self):
        self.editor = Editor(self.client)

    def publish(self):
        self.editor.publish(self.random.choice(["n", "a"]) + str(self.random.randrange(1, 6)), body=f"Written {self.random.random()}")

    def draft(self):
        word = self.secret("draft")
        self.editor.preview("a3", body=word)


def test_nobody_is_sent_what_is_anothers(copal):
    hunt = Hunt(TOKENS, MEMBERS_ONLY)
    client = lambda name: Recorded(copal.port, HOST, name, hunt, "sessionid")  # noqa: E731
    people = [Visit(client(name), EACH["stranger"] * PART) for name in STRANGERS]
    people += [Member(client(name), EACH["member"] * PART) for name in MEMBERS]
    people.append(Chief(client("editor"), EACH["editor"] * PART))
    let_loose(people)
    stored = hunt.record_the_store(copal.visitor())
    hits = sum(one.hit for one in hunt.sent)
    print(f"\n{len(hunt.sent)} responses, {hits} of them hits; {len(hunt.secrets)} secrets; {stored} stored responses")
    found = hunt.leaks()
    assert not found, f"{len(found)} leaks:\n" + "\n".join(found[:20])
    assert len(hunt.sent) >= 5000 * PART
    kinds = {secret.what for secret in hunt.secrets.values()}
    assert kinds == {"cookie", "token", "name", "search", "draft"}, "the hunt looked for little"
    assert hits > len(hunt.sent) / 3 and stored > 10, "the cache was of no use, so there was nothing to leak"


# The hunt itself: what is wrong is found.


def test_a_members_page_in_other_hands_is_caught(copal):
    hunt = Hunt(TOKENS, MEMBERS_ONLY)
    alice = Member(Recorded(copal.port, HOST, "alice", hunt, "sessionid"), 1)
    pages = [alice.client.get(path) for path in ["/news/n1/", "/articles/a1/", "/accounts/login/"]]
    assert hunt.leaks() == []
    for page in pages:
        hunt.record("bob", True, page)
        hunt.record("quentin", False, page)
    found = "\n".join(hunt.leaks())
    for who in ["bob", "quentin"]:
        assert f"{who} got the name 'signed in as alice' of alice for GET /news/n1/" in found
        assert f"{who} got the name 'hello alice' of alice for GET /articles/a1/" in found
    assert "quentin, who is not signed in, got a member's page for GET /articles/a1/" in found
    assert re.search(r"the token '\w{64}' was given to alice and bob", found), found
