"""The leak hunt: whether anybody was ever sent what is another's.

Every response is kept with who got it, and judged when all is over, so that a page is found too that somebody was given
before its owner had it. What counts as a secret: what the test says (`own`), each value of a cookie that is set, and what
the CMS's own patterns find in the pages of people who are signed in, such as its tokens against forgery.
"""
import hashlib
import html
import re
import threading
import zlib
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

import ahocorasick

from harness.visitor import is_hit

SHORTEST = 8


@dataclass
class Secret:
    """A text that only its owners may be sent."""

    text: str
    what: str
    owners: set = field(default_factory=set)
    found_out: bool = False


@dataclass(frozen=True)
class Sent:
    """A response, as it is judged: who got it, for what, and which text."""

    to: str
    signed_in: bool
    request: str
    digest: bytes
    hit: bool


class Hunt:
    """The record of a hunt. Safe to use from several threads.

    `tokens`: patterns with one group, for what a page of somebody who is signed in may hold for them alone; they see character
    references as the characters.
    `moments`: the same for what two who are signed in may have alike by chance, as it is made of the second in which they did something.
    `members_only`: a pattern of what no page may show to whoever is not signed in.
    `open_cookies`: a pattern of the names of cookies whose value is nobody's secret.
    """

    def __init__(self, tokens=(), members_only=None, open_cookies="$^", moments=()):
        self.tokens = [re.compile(pattern) for pattern in tokens]
        self.moments = [re.compile(pattern) for pattern in moments]
        self.members_only = members_only and re.compile(members_only)
        self.open_cookies = re.compile(open_cookies)
        self.secrets, self.sent, self.texts = {}, [], {}
        self.lock = threading.Lock()

    def own(self, text, what, *owners):
        """Says whose a text is, as its owners know it."""
        with self.lock:
            self._secret(text, what).owners.update(owners)

    def record(self, to, signed_in, response):
        """Keeps a response, and the secrets that it gives to whom it was sent."""
        lines = [f"{name}: {value}" for name, value in response.raw.headers.items()]
        text = "\n".join([str(response.status_code), *lines, "", response.content.decode("utf-8", "replace")])
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        request = f"{response.request.method} {response.request.path_url}"
        hit = "Cache-Status" in response.headers and is_hit(response)
        cookies = [pieces for line in response.raw.headers.getlist("Set-Cookie") for pieces in self._pieces(line)]
        # A response out of the store without a session cookie in the request has nothing that is of whom it is sent to.
        read = html.unescape(text)
        tokens = {found for pattern in self.tokens for found in pattern.findall(read)} if signed_in else ()
        moments = {found for pattern in self.moments for found in pattern.findall(read)} if signed_in else ()
        with self.lock:
            self.sent.append(Sent(to, signed_in, request, digest, hit))
            if digest not in self.texts:
                self.texts[digest] = zlib.compress(text.encode(), 1)
            for what, found in [("cookie", cookies), ("token", tokens), ("moment", moments)]:
                for one in found:
                    secret = self.secrets.setdefault(one, Secret(one, what, found_out=True))
                    # Of the others it is said whose they are.
                    if secret.found_out:
                        secret.owners.add(to)

    def leaks(self):
        """Every leak, as a line for a person to read. Ends the hunt."""
        automaton = ahocorasick.Automaton()
        for text, secret in self.secrets.items():
            automaton.add_word(text, secret)
        if self.secrets:
            automaton.make_automaton()
        seen = {}
        for digest, packed in self.texts.items():
            text = zlib.decompress(packed).decode()
            member = bool(self.members_only and self.members_only.search(text))
            held = automaton.iter(text) if self.secrets else ()
            seen[digest] = (member, {secret.text: secret for _, secret in held})
        found = []
        for sent in self.sent:
            member, secrets = seen[sent.digest]
            if member and not sent.signed_in:
                found.append(f"{sent.to}, who is not signed in, got a member's page for {sent.request}")
            known = unquote_plus(sent.request)
            for secret in secrets.values():
                # Whoever names it in the URL has it already.
                if sent.to not in secret.owners and secret.text not in known:
                    owners = ", ".join(sorted(secret.owners))
                    found.append(f"{sent.to} got the {secret.what} {secret.text!r} of {owners} for {sent.request}")
        for secret in self.secrets.values():
            if secret.found_out and secret.what != "moment" and len(secret.owners) > 1:
                owners = " and ".join(sorted(secret.owners))
                found.append(f"the {secret.what} {secret.text!r} was given to {owners}")
        return found

    def record_the_store(self, visitor):
        """Takes out of a Copal's store what it has for each URL of the hunt, for a visitor who may have nothing of anybody's. Says how
        many there were."""
        asked = {one.request.removeprefix("GET ") for one in self.sent if one.request.startswith("GET ")}
        stored = 0
        for coding in ["gzip", "identity"]:
            visitor.headers.update({"Accept-Encoding": coding, "Cache-Control": "only-if-cached"})
            for path in sorted(asked):
                answer = visitor.get(path)
                # What passes is fetched all the same: that is not the store's.
                if is_hit(answer):
                    self.record("whoever reads the store", False, answer)
                    stored += 1
        return stored

    def _secret(self, text, what):
        assert len(text) >= SHORTEST, f"{text!r} is found everywhere"
        return self.secrets.setdefault(text, Secret(text, what))

    def _pieces(self, line):
        """The parts of a cookie's value that are long enough to be a secret; times and numbers are none."""
        name, _, value = line.partition(";")[0].partition("=")
        if self.open_cookies.search(name.strip()):
            return []
        parts = re.split(r"%7C|[|:\s\"]", value.strip(), flags=re.IGNORECASE)
        return [part for part in parts if len(part) >= SHORTEST and not part.isdigit()]
