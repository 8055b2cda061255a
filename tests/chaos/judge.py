"""Whether a request got what it asked for, and what becomes of a whole run: the verdict and the table."""
import json
import math
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

import pages

KINDS = ("stored", "pass", "miss", "post")
UNCACHED = ("pass", "miss")


def wrong_with(url, status, head, body):
    """What is wrong with an answer; None when it is the whole page that was asked for, and no other."""
    path, echo = urlsplit(url).path, head.get("x-echo")
    if status != 200:
        return f"status {status}"
    expected = f"URL {url}\n".encode() if path == "/order" else pages.body(path)
    if echo != url or not body.startswith(f"URL {url if path == '/order' else path}\n".encode()):
        return f"mixed up: {echo!r} with {body[:40]!r}"
    return None if body == expected else f"a wrong body of {len(body)} bytes"


@dataclass(frozen=True)
class Request:
    """One request of the load: which kind, when by the monotonic clock, what was wrong with its answer, and who made that."""

    proxy: str
    kind: str
    url: str
    start: float
    end: float
    why: str | None
    server: str
    cache: str
    status: int = 0

    @property
    def ok(self):
        return self.why is None


class Record:
    """What the load has written down so far, read on as it grows."""

    def __init__(self, path):
        self.path, self.at, self.requests = path, 0, []

    def read(self):
        """All requests that have an outcome by now."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.at)
                lines = file.read()
            whole = lines[:lines.rfind(b"\n") + 1]
            self.at += len(whole)
            self.requests += [Request(**json.loads(line)) for line in whole.splitlines()]
        return self.requests


@dataclass
class Phase:
    """A fault: when it began and ended, what each proxy noticed, and the requests that began from its beginning to the next one's."""

    name: str
    where: str
    begin: float
    heal: float
    until: float
    # Whether no server was left, so that only stored pages could be answered.
    dead: bool
    # By proxy, in seconds; None = not at all.
    noticed: dict
    returned: dict
    requests: list

    def of(self, proxy, *kinds):
        """The requests by one proxy's visitors, of these kinds or of all."""
        return [one for one in self.requests if one.proxy == proxy and (not kinds or one.kind in kinds)]


def failed(requests):
    return [one for one in requests if not one.ok]


def mixed_up(requests):
    """Answers that are another request's."""
    return [one for one in requests if one.why and one.why.startswith("mixed up")]


def twice(orders):
    """Orders that were carried out more than once, from the lines that the servers have written."""
    return sorted(order for order, times in Counter(orders).items() if times > 1)


def quantile(requests, share):
    """The wait in seconds within which this share of the requests was answered."""
    waits = sorted(one.end - one.start for one in requests)
    return waits[max(0, math.ceil(len(waits) * share) - 1)] if waits else None


def seconds(value):
    return "–" if value is None else f"{value:.2f} s"


def some(requests):
    """`failed of all`, as the table has it."""
    return f"{len(failed(requests))} of {len(requests)}"


def table(phases, proxies):
    """The run as a table in Markdown: a row for each fault and proxy, in the order in which they happened."""
    rows = ["| fault | where | proxy | stored pages failed | uncached failed | orders failed | 99 % within | noticed after | back after |",
            "|---|---|---|---|---|---|---|---|---|"]
    for phase in phases:
        for number, proxy in enumerate(proxies):
            cells = [some(phase.of(proxy, "stored")), some(phase.of(proxy, *UNCACHED)), some(phase.of(proxy, "post")),
                     seconds(quantile(phase.of(proxy), 0.99)), seconds(phase.noticed.get(proxy)), seconds(phase.returned.get(proxy))]
            first = [phase.name, phase.where] if number == 0 else ["", ""]
            rows.append(row(*first, proxy, *cells))
    return "\n".join(rows) + "\n"


def summary(phases, proxies):
    """The same with one row for each fault, whenever and wherever it happened; of times the longest."""
    head = ["fault", "how often"]
    for proxy in proxies:
        head += [f"{proxy}: stored pages failed", "uncached failed", "noticed after", "back after"]
    rows = [row(*head), "|---" * len(head) + "|"]
    for name in dict.fromkeys(called(phase) for phase in phases):
        same = [phase for phase in phases if called(phase) == name]
        cells = [name, str(len(same))]
        for proxy in proxies:
            cells += [some([one for phase in same for one in phase.of(proxy, "stored")]),
                      some([one for phase in same for one in phase.of(proxy, *UNCACHED)]),
                      seconds(longest(phase.noticed.get(proxy) for phase in same)),
                      seconds(longest(phase.returned.get(proxy) for phase in same))]
        rows.append(row(*cells))
    cells = ["**all**; what is not stored, while a server was left", str(len(phases))]
    for proxy in proxies:
        cells += [some([one for phase in phases for one in phase.of(proxy, "stored")]),
                  some([one for phase in phases if not phase.dead for one in phase.of(proxy, *UNCACHED)]), "", ""]
    rows.append(row(*cells))
    return "\n".join(rows) + "\n"


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def called(phase):
    return f"all servers: {phase.name}" if phase.dead else phase.name


def longest(times):
    return max((time for time in times if time is not None), default=None)


def reasons(requests):
    """What went wrong, by how often: for the message of a test that fails."""
    counted = Counter((one.proxy, one.kind, one.why) for one in failed(requests))
    return "\n".join(f"{times} × {' '.join(map(str, what))}" for what, times in counted.most_common(30))
