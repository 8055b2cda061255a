"""Copal and HAProxy before the same servers, and how each says which of them it takes for well."""
import json
import socket
import threading
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

HERE = Path(__file__).resolve().parent

# Past any proxy of the machine's own.
OPENER = build_opener(ProxyHandler({}))


def copal_states(admin):
    """By `GET /origins`: names of servers and whether requests go to them."""
    with OPENER.open(f"http://127.0.0.1:{admin}/origins", timeout=2) as answer:
        told = json.load(answer)
    servers = [server for origin in told["origins"] for server in origin["servers"]]
    return {server["server"].partition(".")[0]: server["state"] == "up" for server in servers}


def haproxy_states(path):
    """By `show stat` at the runtime socket: the same."""
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.settimeout(2)
        runtime.connect(str(path))
        runtime.sendall(b"show stat\n")
        text = b"".join(iter(lambda: runtime.recv(65536), b"")).decode()
    lines = [line.split(",") for line in text.splitlines() if line.startswith("cms,")]
    return {line[1]: line[17].startswith("UP") for line in lines if line[1] not in ("FRONTEND", "BACKEND")}


class Watch:
    """Asks a proxy for its servers' states again and again from a thread, and keeps each change with its time."""

    EVERY = 0.02

    def __init__(self, proxy, ask):
        self.proxy, self.ask = proxy, ask
        self.changes, self.states, self.errors = [], {}, []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _run(self):
        while not self.ended.wait(self.EVERY):
            try:
                states = self.ask()
            except Exception as error:  # whatever it was, there is no answer; at the beginning nothing may listen there yet
                if self.states:
                    self.errors.append(repr(error))
                continue
            now = time.monotonic()
            for server, well in states.items():
                if self.states.get(server) != well:
                    self.changes.append((now, server, well))
            self.states = states

    def out_since(self, server, begin):
        """When the server was first out after `begin`, in seconds from then; None if it was not."""
        return next((at - begin for at, name, well in self.changes if name == server and not well and at >= begin), None)

    def all_well(self):
        """Whether every server gets requests now."""
        return bool(self.states) and all(self.states.values())
