"""The leak hunt on Plone: members, strangers and an editor at once, and nobody may get what is another's.

Each does things by chance (the same in every run, but for who comes first). What each was sent is judged at the end; so is all
that Copal still has in its store.
"""
import os
import re

from conftest import HOST, copal_before
from harness.crowd import Recorded, Wanderer, let_loose
from harness.leaks import Hunt
from people import Editor, sign_in, sign_out

MEMBERS = {"alicemarch": "Alice Marchbanks", "bobtremaine": "Bob Tremainewright", "carolinus": "Carol Oglethorpe"}
EDITOR = {"edwinaquill": "Edwina Featherstonehaugh"}
STRANGERS = ["quentin-stranger", "rosamund-stranger", "sebastian-stranger"]
PAGES = [f"/{section}/{section}-{number}" for section in ["news", "papers"] for number in range(1, 9)]
TOKENS = [r'_authenticator(?:=|"\s+value=")([0-9a-f]{40})']
MEMBERS_ONLY = r'id="personaltools-menulink"|<body[^>]* userrole-authenticated'
# Messages that are the same for everybody.
OPEN_COOKIES = r"^statusmessages$"
SEED = 20261128
# How many requests each makes, 5,000 in all.
EACH = {"stranger": 1550, "member": 70, "editor": 140}
# Part of it, for a first look.
PART = float(os.environ.get("HUNT_PART", 1))


class Visit(Wanderer):
    """What everybody does who has nothing but a browser."""

    site = f"http://{HOST}"
    shunned = re.compile("/logout|/edit|/delete|content_status_modify|\\+\\+add\\+\\+|cut|copy|rename|/@@historyview|/folder_contents")
    # Private pages, which whoever hears of them tries to open.
    private = []

    def __init__(self, client, requests):
        super().__init__(client, requests, SEED)
        self.actions = [(60, self.follow), (40, self.read), (1, self.search), (3, self.try_private)]

    def read(self):
        self.get(self.random.choice(PAGES))

    def search(self):
        self.get(f"/@@search?SearchableText={self.secret('search')}")

    def try_private(self):
        self.get(self.random.choice(self.private) if self.private else "/")


class Member(Visit):
    """Signs in and out, and looks at their own data."""

    def __init__(self, client, requests, shown):
        super().__init__(client, requests)
        for name in [client.name, shown]:
            client.hunt.own(name, "name", client.name)
        client.hunt.own(f"{client.name}@mail", "address", client.name)
        self.actions = [(20, self.follow), (15, self.read), (1, self.search), (2, self.profile), (2, self.in_and_out)]
        self.enter()

    def enter(self):
        sign_in(self.client, self.client.name)

    def in_and_out(self):
        sign_out(self.client)
        for _ in range(self.random.randrange(6)):
            self.read()
        self.enter()

    def profile(self):
        self.get("/@@personal-information")


class Chief(Member):
    """The editor: changes pages all the while, so that they are made anew, and writes some that stay private."""

    def __init__(self, client, requests, shown):
        super().__init__(client, requests, shown)
        self.actions += [(8, self.change), (3, self.draft)]
        self.draft()

    def enter(self):
        self.editor = Editor(self.client, self.client.name)

    def change(self):
        self.editor.change(self.random.choice(PAGES), description=f"Seen at {self.random.random()}")

    def draft(self):
        word = self.secret("draft")
        path = self.editor.write("/news", title=f"Draft {self.number}", description=word)
        self.private.append(path)
        self.get(path)


def client(copal, name, hunt):
    return Recorded(copal.port, HOST, name, hunt, "__ac")


def new_hunt():
    return Hunt(TOKENS, MEMBERS_ONLY, OPEN_COOKIES)


def test_nobody_is_sent_what_is_anothers(cms, tmp_path):
    hunt = new_hunt()
    with copal_before(cms, tmp_path) as copal:
        people = [Visit(client(copal, name, hunt), EACH["stranger"] * PART) for name in STRANGERS]
        people += [Member(client(copal, name, hunt), EACH["member"] * PART, shown) for name, shown in MEMBERS.items()]
        people += [Chief(client(copal, name, hunt), EACH["editor"] * PART, shown) for name, shown in EDITOR.items()]
        let_loose(people)
        stored = hunt.record_the_store(copal.visitor())
    hits = sum(one.hit for one in hunt.sent)
    print(f"\n{len(hunt.sent)} responses, {hits} of them hits; {len(hunt.secrets)} secrets; {stored} stored responses")
    found = hunt.leaks()
    assert not found, f"{len(found)} leaks:\n" + "\n".join(found[:20])
    assert len(hunt.sent) >= 5000 * PART
    kinds = {secret.what for secret in hunt.secrets.values()}
    assert kinds == {"cookie", "token", "name", "address", "search", "draft"}, "the hunt looked for little"
    assert hits > len(hunt.sent) / 3 and stored > 20, "the cache was of no use, so there was nothing to leak"


# The hunt itself: what is wrong is found.



def test_a_members_page_in_other_hands_is_caught(cms, tmp_path):
    hunt = new_hunt()
    with copal_before(cms, tmp_path) as copal:
        alice = Member(client(copal, "alicemarch", hunt), 1, MEMBERS["alicemarch"])
        alice.read()
        editors_page = Editor(client(copal, "edwinaquill", hunt)).visitor.get("/news/news-1")
    assert hunt.leaks() == []
    for response in [alice.page, editors_page]:
        hunt.record("bobtremaine", True, response)
        hunt.record(STRANGERS[0], False, response)
    found = "\n".join(hunt.leaks())
    assert "bobtremaine got the name 'Alice Marchbanks' of alicemarch" in found
    assert f"{STRANGERS[0]} got the name 'Alice Marchbanks' of alicemarch" in found
    assert f"{STRANGERS[0]}, who is not signed in, got a member's page" in found
    assert re.search(r"the token '[0-9a-f]{40}' was given to bobtremaine and edwinaquill", found), found
