"""The visitors: requests at a constant rate, whatever becomes of them, each of which is judged and written down.

A program of its own, one for each proxy: `load.py NAME PORT RECORD`. Ends by SIGTERM, when what is under way has an outcome, and
prints how many requests there were.

Of each kind so many a second are sent, whether or not earlier ones have been answered, as visitors do. Nothing is sent twice by the
visitors themselves. A line of RECORD is one request: see `judge.Request`.
"""
import asyncio
import json
import random
import signal
import sys
import time

import judge
import pages
import wire

HOST = "www.chaos.test"
# A second, of each kind: stored pages; pages that are never stored; pages that may be stored and are not yet; orders.
RATES = {"stored": 120, "pass": 80, "miss": 40, "post": 10}
# Of ten requests so many get a connection of their own; the others take one that is kept.
FRESH = 3
DEADLINE = 10.0
# In seconds: how long a connection is kept without a request. Less than any proxy keeps it, so that none is closed as it is taken.
IDLE = 3.0
MOST_UNDER_WAY = 1500


class Visitors:
    """All the visitors of one proxy."""

    def __init__(self, name, port, record):
        self.name, self.port, self.record = name, port, record
        self.random = random.Random(name)
        self.kept, self.under_way, self.number = [], set(), 0
        self.stopped = asyncio.Event()

    async def run(self):
        """Sends requests until it is told to stop, then waits for what is under way."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopped.set)
        await asyncio.gather(*(self._send(kind, rate) for kind, rate in RATES.items()))
        if self.under_way:
            await asyncio.wait(self.under_way)
        print(self.number)

    async def _send(self, kind, rate):
        began, sent = time.monotonic(), 0
        while not self.stopped.is_set():
            # A late wake-up is made up for, so that the rate is what it says.
            due = int((time.monotonic() - began) * rate) + 1
            for _ in range(sent, due):
                task = asyncio.ensure_future(self._visit(kind))
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)
            sent = due
            await asyncio.sleep(max(0, began + sent / rate - time.monotonic()))

    def _url(self, kind):
        self.number += 1
        mark = f"{self.name}-{self.number}"
        if kind == "stored":
            return self.random.choice(pages.STORED)
        if kind == "pass":
            return f"{self.random.choice(pages.LIVE)}?id={mark}"
        if kind == "miss":
            small = self.random.choice(pages.SMALL)
            return f"/page/{self.random.randrange(16)}-{small}?new={mark}"
        return f"/order?id={mark}"

    async def _visit(self, kind):
        url, fresh, start = self._url(kind), self.random.randrange(10) < FRESH, time.monotonic()
        outcome = {"why": None, "server": "", "cache": ""}
        if len(self.under_way) > MOST_UNDER_WAY:
            outcome["why"] = "the visitors stand in each other's way"
        else:
            try:
                async with asyncio.timeout(DEADLINE):
                    await self._exchange(kind, url, fresh, outcome)
            except TimeoutError:
                outcome["why"] = f"not done within {DEADLINE:.0f} s"
            except Exception as error:  # whatever it was, this visitor has not got the page
                outcome["why"] = f"{type(error).__name__}: {error}"
        line = dict(proxy=self.name, kind=kind, url=url, start=start, end=time.monotonic(), **outcome)
        self.record.write(json.dumps(line) + "\n")
        self.record.flush()

    async def _exchange(self, kind, url, fresh, outcome):
        reader, writer = (None if fresh else self._kept()) or await asyncio.open_connection("127.0.0.1", self.port, limit=wire.LONGEST_HEAD)
        keep = False
        try:
            method, content = ("POST", b"one of these, please\n" * 10) if kind == "post" else ("GET", b"")
            lines = [f"{method} {url} HTTP/1.1", f"Host: {HOST}", *(["Connection: close"] if fresh else []),
                     *([f"Content-Length: {len(content)}"] if content else []), "", ""]
            writer.write("\r\n".join(lines).encode() + content)
            head = await wire.read_head(reader)
            if head is None:
                raise wire.Broken("the connection ends without an answer")
            outcome["server"], outcome["cache"] = head.get("x-server"), head.get("cache-status")
            outcome["status"] = wire.status(head)
            body = await wire.read_body(reader, head, True)
            outcome["why"] = judge.wrong_with(url, outcome["status"], head, body)
            framed = "content-length" in head.fields or "transfer-encoding" in head.fields
            keep = framed and not fresh and not head.closes()
        finally:
            if keep:
                self.kept.append((reader, writer, time.monotonic()))
            else:
                writer.close()

    def _kept(self):
        """The connection that was used last, unless it is closed."""
        while self.kept:
            reader, writer, since = self.kept.pop()
            if time.monotonic() < since + IDLE and not reader.at_eof():
                return reader, writer
            writer.close()
        return None


if __name__ == "__main__":
    with open(sys.argv[3], "a") as record:
        asyncio.run(Visitors(sys.argv[1], int(sys.argv[2]), record).run())
