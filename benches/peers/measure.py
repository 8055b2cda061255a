"""One measurement: load on one server, and what it cost."""
import contextlib
import json
import resource
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

from accounting import cpu_seconds, disk_bytes, machine_busy_seconds, memory_bytes

SCRIPT = Path(__file__).resolve().parent / "load.lua"
CONNECTIONS = 64


def wrk(port, path, seconds, prefix=None):
    """Loads a server over kept connections and returns what wrk counted."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(SCRIPT),
               f"http://127.0.0.1:{port}{path}", "--"]
    command += [prefix] if prefix else []
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"wrk failed: {run.stdout}{run.stderr}")
    counted = json.loads(run.stdout.strip().splitlines()[-1])
    if counted["errors"] or not counted["requests"]:
        raise RuntimeError(f"wrk met errors at port {port}{path}: {run.stdout}")
    return counted


def fetch_all(port, paths):
    """GETs one path after the other on one connection and gives each status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            yield answer.status, answer.read()


def load(server, origin, seconds, path, prefix=None):
    """Loads `server` and gives CPU time a request, of the server and of the origin, beside wrk's figures.

    `elsewhere` is the CPU time of the machine that neither of them nor wrk has used, in cores: what else was going on.
    """
    def reading():
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return [cpu_seconds(server.process.pid), cpu_seconds(origin.process.pid), machine_busy_seconds(),
                spent.ru_utime + spent.ru_stime, time.monotonic()]

    before = reading()
    counted = wrk(server.port, path, seconds, prefix)
    used, of_origin, busy, of_wrk, elapsed = (after - start for after, start in zip(reading(), before))
    requests = counted["requests"]
    return {
        "cpu_us": used * 1e6 / requests,
        "origin_cpu_us": of_origin * 1e6 / requests,
        "rps": requests / counted["seconds"],
        "p50_us": counted["p50_us"],
        "p99_us": counted["p99_us"],
        "requests": requests,
        "elsewhere": max(0.0, busy - used - of_origin - of_wrk) / elapsed,
    }


def stored_bytes(server, count):
    """Memory and disk that a server takes for each of `count` stored responses of 1 KiB, all of them different.

    Before the first reading, one page is asked for often, so that buffers and pools have their size.
    """
    def reading():
        return settled(lambda: memory_bytes(server.process.pid)), disk_bytes(server.folder / "cache")

    wrk(server.port, "/1k/warm", 1)
    memory, disk = reading()
    for status, body in fetch_all(server.port, (f"/1k/stored-{number}" for number in range(count))):
        if status != 200 or len(body) != 1024:
            raise RuntimeError(f"{server.name}: status {status}, {len(body)} bytes")
    more_memory, more_disk = reading()
    return {"memory": (more_memory - memory) / count, "disk": (more_disk - disk) / count, "stored": count}


def settled(read, deadline=10.0):
    """A reading that stays the same, within 0.5 %, for half a second; the last one when the deadline has passed."""
    end = time.monotonic() + deadline
    value = read()
    while time.monotonic() < end:
        time.sleep(0.5)
        again = read()
        if abs(again - value) <= value * 0.005:
            return again
        value = again
    return value
