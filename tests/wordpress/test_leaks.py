"""The leak hunt on WordPress: members, strangers and an editor at once, and nobody may get what is another's.

Each does things by chance (the same in every run, but for who comes first): follows a link of the page at hand, searches,
comments, signs in and out, opens the protected story, writes, previews, looks after comments. What each was sent is judged at
the end; so is all that Copal still has in its store.
"""
import os
import re
from types import SimpleNamespace

from conftest import HOST, copal_before, naive_before
from harness.crowd import Recorded, Wanderer, let_loose
from harness.leaks import Hunt
from people import Editor, comment, sign_in, sign_out

MEMBERS = {"alicemarch": "Alice Marchbanks", "bobtremaine": "Bob Tremainewright", "carolinus": "Carol Oglethorpe"}
EDITOR = {"edwinaquill": "Edwina Featherstonehaugh"}
STRANGERS = ["quentin-stranger", "rosamund-stranger", "sebastian-stranger"]
STORIES = [f"/story-{number}/" for number in range(1, 13)]
# What a member's page holds for the member alone: the tokens of forms, links and scripts, and of comments that wait. Of these the
# hash is made of the comment's second (wp-comments-post.php), so two may have the same; with the comment's number nobody else has it.
TOKENS = [r'nonce(?:=|"\s*:\s*"|"\s+value="|=\\")([0-9a-f]{10})\b', r"(unapproved=\d+&moderation-hash=[0-9a-f]{32})"]
MOMENTS = [r"moderation-hash=([0-9a-f]{32})"]
MEMBERS_ONLY = r'id="wpadminbar"|<body[^>]* logged-in'
# The first is the same for everybody; the others keep how somebody likes the admin to look.
OPEN_COOKIES = r"^wordpress_test_cookie$|^wp-settings-"
SEED = 20261128
# How many requests each makes, 5,000 in all. Strangers are most of a site's visitors, and what they are given is what may be stored.
EACH = {"stranger": 1400, "member": 180, "editor": 260}
# Part of it, for a first look.
PART = float(os.environ.get("HUNT_PART", 1))


def client(port, name, hunt):
    return Recorded(port, HOST, name, hunt, "wordpress_logged_in_")


class Visit(Wanderer):
    """What everybody does who has nothing but a browser."""

    site = f"http://{HOST}"
    shunned = re.compile("action=logout|/wp-admin/")

    def __init__(self, client, requests):
        super().__init__(client, requests, SEED)
        self.actions = [(20, self.follow), (8, self.story), (2, self.search), (1, self.poll), (1, self.protected), (1, self.remark)]

    def story(self):
        self.get(self.random.choice(STORIES))

    def search(self):
        self.get(f"/?s={self.secret('search')}")

    def poll(self):
        self.get("/poll/")

    def protected(self):
        """Looks at the protected story without the word for it."""
        self.get("/members-story/")

    def remark(self):
        self.say(None)

    def say(self, name):
        self.page = comment(self.client, self.random.choice(STORIES), f"I think {self.secret('remark')} of it.", name)


class Stranger(Visit):
    """Not signed in. May leave a name with a comment, which the browser keeps, and lose it again with all cookies."""

    def __init__(self, client, requests):
        super().__init__(client, requests)
        client.hunt.own(client.name, "name", client.name)
        client.hunt.own(f"{client.name}@mail", "address", client.name)
        self.actions += [(1, self.forget), (1, self.login_form)]

    def remark(self):
        self.say(self.client.name)
        # Meanwhile every page is made for this visitor.
        for _ in range(self.random.randrange(4)):
            self.story()
        self.forget()

    def forget(self):
        self.client.cookies.clear()

    def login_form(self):
        self.get("/wp-login.php")


class Member(Visit):
    """Signs in and out, and looks at their own profile."""

    def __init__(self, client, requests, shown):
        super().__init__(client, requests)
        for name in [client.name, shown]:
            client.hunt.own(name, "name", client.name)
        client.hunt.own(f"{client.name}@mail", "address", client.name)
        self.actions += [(2, self.profile), (1, self.in_and_out)]
        self.enter()

    def enter(self):
        sign_in(self.client, self.client.name)

    def in_and_out(self):
        sign_out(self.client)
        for _ in range(self.random.randrange(6)):
            self.story()
        self.enter()

    def profile(self):
        self.get("/wp-admin/profile.php")

    def protected(self):
        """Knows the word."""
        self.client.post("/wp-login.php?action=postpass", data={"post_password": "open sesame"}, headers={"Referer": f"http://{HOST}/"})
        self.get("/members-story/")


class Chief(Member):
    """The editor: publishes all the while, so that pages are made anew, and lets comments appear."""

    def __init__(self, client, requests, shown):
        super().__init__(client, requests, shown)
        self.actions += [(4, self.publish), (3, self.draft), (2, self.look_after_comments)]
        self.draft()

    def enter(self):
        self.editor = Editor(self.client, self.client.name)

    def publish(self):
        self.editor.publish(self.random.choice(STORIES).strip("/"), excerpt=f"Excerpt {self.random.random()}")

    def draft(self):
        number = self.editor.write(f"draft-{self.number}", status="draft", content=f"<p>{self.secret('draft')}</p>")
        self.get(f"/?p={number}&preview=true")

    def remark(self):
        """Nothing: what the editor says appears at once, with the name."""

    def look_after_comments(self):
        self.get("/wp-admin/edit-comments.php")


def hunt_at(port, part=PART):
    """Lets everybody loose on the site at a port. Gives the record."""
    hunt = Hunt(TOKENS, MEMBERS_ONLY, OPEN_COOKIES, MOMENTS)
    hunt.own("zanzibar-crocus", "protected story", *MEMBERS, *EDITOR)
    requests = {who: number * part for who, number in EACH.items()}
    people = [Stranger(client(port, name, hunt), requests["stranger"]) for name in STRANGERS]
    people += [Member(client(port, name, hunt), requests["member"], shown) for name, shown in MEMBERS.items()]
    people += [Chief(client(port, name, hunt), requests["editor"], shown) for name, shown in EDITOR.items()]
    let_loose(people)
    # The editor may see what all have written, and whose it is.
    for secret in hunt.secrets.values():
        if secret.what in ("remark", "address", "name"):
            secret.owners.update(EDITOR)
    return hunt


def test_nobody_is_sent_what_is_anothers(cms, tmp_path):
    with copal_before(cms, tmp_path) as copal:
        hunt = hunt_at(copal.port)
        stored = hunt.record_the_store(copal.visitor())
    hits = sum(one.hit for one in hunt.sent)
    print(f"\n{len(hunt.sent)} responses, {hits} of them hits; {len(hunt.secrets)} secrets; {stored} stored responses")
    found = hunt.leaks()
    assert not found, f"{len(found)} leaks:\n" + "\n".join(found[:20])
    assert len(hunt.sent) >= 5000 * PART
    kinds = {secret.what for secret in hunt.secrets.values()}
    assert kinds == {"cookie", "token", "moment", "name", "address", "search", "remark", "draft", "protected story"}, "the hunt looked for little"
    assert hits > len(hunt.sent) / 3 and stored > 20, "the cache was of no use, so there was nothing to leak"


# The hunt itself: what is wrong is found.

# Every mistake at once: no policy, so no session is known; cookies taken off as if they did not matter; and all that the
# site says of its pages and cookies overruled.
CARELESS = """
listen: "127.0.0.1:{port}"
origins: {{ cms: "http://127.0.0.1:{cms}" }}
sessions: {{ unknown: strip }}
purge: {{ allow: ["127.0.0.1"] }}
rules:
  - name: sign-in
    match: {{ path: "/wp-login.php" }}
    pass: true
  - name: all
    match: {{ method: [GET, HEAD] }}
    cache: {{ ttl: 10m, override: [private, no-store, no-cache, share-set-cookie] }}
"""


def visit_polls(port):
    """What two strangers are sent who visit the careless plug-in's page one after the other."""
    hunt = Hunt(TOKENS, MEMBERS_ONLY, OPEN_COOKIES, MOMENTS)
    for name in STRANGERS[:2]:
        Visit(client(port, name, hunt), 1).poll()
    return hunt


def test_a_careless_configuration_is_caught(cms, tmp_path):
    with copal_before(cms, tmp_path, CARELESS) as copal:
        found = visit_polls(copal.port).leaks()
    assert len(found) == 1 and found[0].endswith(f"was given to {STRANGERS[0]} and {STRANGERS[1]}"), found
    with copal_before(cms, tmp_path) as copal:
        assert visit_polls(copal.port).leaks() == []


def test_a_cache_that_knows_no_sessions_is_caught(cms, tmp_path):
    hunt = Hunt(TOKENS, MEMBERS_ONLY, OPEN_COOKIES, MOMENTS)
    with naive_before(cms, tmp_path) as port:
        alice = Member(client(port, "alicemarch", hunt), 1, MEMBERS["alicemarch"])
        bob = Member(client(port, "bobtremaine", hunt), 1, MEMBERS["bobtremaine"])
        for person in [alice, bob, Stranger(client(port, STRANGERS[0], hunt), 1)]:
            person.get("/story-1/")
            person.poll()
    found = "\n".join(hunt.leaks())
    stranger = STRANGERS[0]
    assert "bobtremaine got the name 'Alice Marchbanks' of alicemarch for GET /story-1/" in found
    assert re.search(r"the token '[0-9a-f]{10}' was given to alicemarch and bobtremaine", found), found
    assert f"{stranger}, who is not signed in, got a member's page for GET /story-1/" in found
    assert re.search(rf"the cookie '\w+' was given to alicemarch and bobtremaine and {stranger}", found), found


def answer(text):
    headers = SimpleNamespace(items=list, getlist=lambda name: [])
    request = SimpleNamespace(method="GET", path_url="/story-1/")
    return SimpleNamespace(raw=SimpleNamespace(headers=headers), headers={}, status_code=200, content=text.encode(), request=request)


def test_comments_of_one_second_share_a_hash_that_nobody_else_may_have():
    def hunt(*sent):
        hunt = Hunt(TOKENS, MEMBERS_ONLY, OPEN_COOKIES, MOMENTS)
        for to, signed_in, number in sent:
            hunt.record(to, signed_in, answer(f"?unapproved={number}&#038;moderation-hash={'0a' * 16}"))
        return hunt.leaks()

    alice, bob = ("alicemarch", True, 7), ("bobtremaine", True, 8)
    assert hunt(alice, bob) == []
    assert len(hunt(alice, ("bobtremaine", True, 7))) == 1, "the same comment"
    assert len(hunt(alice, (STRANGERS[0], False, 7))) == 1, "not signed in"
