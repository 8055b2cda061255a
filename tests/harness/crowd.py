"""Many people at once, none far ahead of the others."""
import html
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

from harness.visitor import Visitor

# How much further than the slowest anybody may be, as a part of all that they will do.
AHEAD = 0.03


class Recorded(Visitor):
    """A visitor each of whose responses goes into a hunt's record. Who has a cookie named `session…` is signed in."""

    def __init__(self, port, host, name, hunt, session):
        super().__init__(port, host)
        self.name, self.hunt, self.session, self.count = name, hunt, session, 0

    def signed_in(self):
        return any(cookie.startswith(self.session) for cookie in self.cookies.keys())

    def request(self, method, url, **options):
        before = self.signed_in()
        response = super().request(method, url, **options)
        self.count += 1
        self.hunt.record(self.name, before or self.signed_in(), response)
        return response


class Person:
    """Somebody who does one thing after the other, by chance but by the same chance in every run.

    `actions` is a list of (weight, function); a function may make several requests.
    """

    def __init__(self, client, requests, seed):
        self.client, self.requests = client, requests
        self.random = random.Random(f"{seed} {client.name}")
        self.actions = []

    def act(self):
        weights, functions = zip(*self.actions)
        self.random.choices(functions, weights)[0]()

    def progress(self):
        return self.client.count / self.requests


class Wanderer(Person):
    """Somebody with a browser: follows the links of the page at hand, and has words that nobody else is ever to be sent.

    `site` is how the site's own URLs begin. Links that fit `shunned` are not followed.
    """

    LINK = re.compile(r'href="([^"#]+)')
    site, shunned = None, re.compile("$^")

    def __init__(self, client, requests, seed):
        super().__init__(client, requests, seed)
        self.page, self.number = None, 0

    def get(self, path, **options):
        """Opens a page, and the one that it leads to."""
        self.page = self.client.get(path, **options)
        assert self.page.status_code < 500, f"{self.client.name}: {path}: {self.page.status_code}\n{self.page.text}"
        location = self._path(self.page.headers.get("Location", ""))
        if location and not self.shunned.search(location):
            self.page = self.client.get(location)

    def follow(self):
        """Clicks on a link."""
        found = [] if self.page is None else map(self._path, self.LINK.findall(self.page.text))
        links = [link for link in found if link and not self.shunned.search(link)]
        self.get(self.random.choice(links) if links else "/")

    def secret(self, what):
        """A word of one's own."""
        self.number += 1
        word = f"{what}-{self.client.name}-{self.number}-x"
        self.client.hunt.own(word, what, self.client.name)
        return word

    def _path(self, url):
        """The path of a URL of the site; None for another."""
        url = html.unescape(url).partition("#")[0].removeprefix(self.site)
        return url if url.startswith("/") and not url.startswith("//") else None


def let_loose(people):
    """Each makes as many requests as they should, all at once. Raises what any of them raised."""
    turn = threading.Condition()
    failed = []

    def live(person):
        try:
            while person.progress() < 1:
                with turn:
                    turn.wait_for(lambda: failed or person.progress() <= slowest() + AHEAD)
                    if failed:
                        return
                person.act()
                with turn:
                    turn.notify_all()
        except BaseException as error:
            with turn:
                failed.append(error)
                turn.notify_all()
            raise

    def slowest():
        return min(person.progress() for person in people)

    with ThreadPoolExecutor(len(people)) as pool:
        for done in [pool.submit(live, person) for person in people]:
            done.result()
