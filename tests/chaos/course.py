"""A run: proxies under load while one fault follows the other."""
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request

import judge
import pages
import proxies
from harness.processes import wait_until

HERE = Path(__file__).resolve().parent
HOST = "www.chaos.test"

# So many requests of each kind are to have an outcome under each fault, for each proxy.
ENOUGH = {"stored": 80, "pass": 60, "miss": 30, "post": 8}
# In seconds: how long a fault lasts that a proxy does not notice, and how long a proxy may take to use a server again.
NOTICE, RETURN = 2.5, 15.0


class Course:
    """The load on some proxies before the servers, and the faults so far. Use it with `with`.

    `fronts`: by the proxy's name its port and what asks it for its servers' states, or None.
    """

    def __init__(self, servers, names, fronts, folder):
        self.servers, self.names, self.fronts, self.folder = servers, names, fronts, folder
        self.records = {name: judge.Record(folder / f"{name}.jsonl") for name in fronts}
        self.watches = {name: proxies.Watch(name, ask) for name, (_, ask) in fronts.items() if ask}
        self.loads, self.phases, self.sent = {}, [], {}
        self.stack = ExitStack()

    def __enter__(self):
        with ExitStack() as stack:
            for watch in self.watches.values():
                stack.enter_context(watch)
            wait_until(lambda: all(watch.all_well() for watch in self.watches.values()), lambda: f"all servers are well: {self._states()}")
            for name, (port, _) in self.fronts.items():
                fill(port)
                command = [sys.executable, HERE / "load.py", name, str(port), self.records[name].path]
                self.loads[name] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                stack.callback(self.loads[name].kill)
            self.began = time.monotonic()
            wait_until(lambda: self._enough(self.began), "the load runs")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def undisturbed(self):
        """A phase without any fault, for comparison."""
        begin = time.monotonic()
        wait_until(lambda: self._enough(begin), "requests without a fault")
        self._note("nothing", "", begin, time.monotonic(), False, [])

    def suffer(self, fault, servers, dead=False):
        """Has the servers suffer a fault until it has been noticed, then waits until they are used again."""
        begin, asked = time.monotonic(), self.names.asked
        for server in servers:
            fault.begin(server, self.names)

        def over():
            late = fault.passing or time.monotonic() > begin + NOTICE
            noticed = late or all(self._noticed(name, servers, begin) is not None for name in self.watches)
            return noticed and self._enough(begin) and (not self.names.failing or self.names.asked > asked + 2)
        heal = time.monotonic()
        wait_until(over, f"{fault.name}: noticed, and enough requests")
        if fault.end:
            heal = time.monotonic()
            for server in servers:
                fault.end(server, self.names)
        self._wait_for_return(servers, heal)
        where = fault.where or " and ".join(server.name for server in servers)
        self._note(fault.name, "all" if dead else where, begin, heal, dead, servers)

    def finish(self):
        """Ends the load. All its requests have an outcome then, and are shared out to the phases in which they began."""
        for name, load in self.loads.items():
            load.terminate()
            self.sent[name] = int(load.communicate(timeout=30)[0])
        every = [one for record in self.records.values() for one in record.read()]
        for phase, after in zip(self.phases, [*self.phases[1:], None]):
            phase.until = after.begin if after else time.monotonic()
            phase.requests = [one for one in every if phase.begin <= one.start < phase.until]
        return self

    def requests(self, proxy):
        """All requests by one proxy's visitors."""
        return self.records[proxy].requests

    def orders(self, proxy):
        """The orders that were carried out for one proxy's visitors."""
        return [order for server in self.servers for order in server.orders() if order.startswith(f"{proxy}-")]

    def _states(self):
        return {name: (watch.states, watch.errors[-1:]) for name, watch in self.watches.items()}

    def _enough(self, since):
        """Whether the load has had enough outcomes since then."""
        for record in self.records.values():
            done = [one.kind for one in reversed(record.read()[-5000:]) if one.start >= since]
            if any(done.count(kind) < least for kind, least in ENOUGH.items()):
                return False
        return True

    def _noticed(self, proxy, servers, begin):
        """After how many seconds the proxy had taken all these servers out."""
        times = [self.watches[proxy].out_since(server.name, begin) for server in servers]
        return None if not times or None in times else max(times)

    def _returned(self, proxy, servers, heal):
        """After how many seconds each of the servers that is no backup had answered again."""
        answered = {}
        for one in self.records[proxy].read():
            if one.start >= heal and one.ok and one.kind != "stored":
                answered[one.server] = min(one.end, answered.get(one.server, one.end))
        times = [answered.get(server.name) for server in servers if not server.backup]
        return None if not times or None in times else max(times) - heal

    def _wait_for_return(self, servers, heal):
        def back():
            well = all(watch.all_well() for watch in self.watches.values())
            return well and all(self._returned(name, servers, heal) is not None for name in self.fronts)
        try:
            wait_until(back, "the servers are used again", RETURN)
        except AssertionError:
            print(f"not all servers are back: {self._states()}")

    def _note(self, name, where, begin, heal, dead, servers):
        noticed = {proxy: self._noticed(proxy, servers, begin) for proxy in self.watches}
        returned = {proxy: self._returned(proxy, servers, heal) for proxy in self.fronts}
        self.phases.append(judge.Phase(name, where, begin, heal, None, dead, noticed, returned, []))
        print(f"{begin - self.began:6.1f} s: {name} {where}; out after {noticed}, back after {returned}", flush=True)


def fill(port):
    """Asks for each page once, so that it is stored."""
    for path in pages.STORED:
        with proxies.OPENER.open(Request(f"http://127.0.0.1:{port}{path}", headers={"Host": HOST}), timeout=10) as answer:
            assert answer.read() == pages.body(path), path
