"""Servers under test: started on a free port, waited for by polling, ended by their own process id."""
import os
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 30.0


def copal_binary():
    """The program under test: `COPAL_BIN`, or what cargo built last."""
    named = os.environ.get("COPAL_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    candidates = [Path(named)] if named else [target / "release/copal", target / "debug/copal"]
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(f"no copal at {' or '.join(map(str, candidates))}: cargo build --release")


def free_port():
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, deadline=DEADLINE):
    """Polls until `condition()` is true and returns its value; fails with `what`, a text or what makes one, when the deadline has passed."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:.0f} s: {what() if callable(what) else what}")
        time.sleep(0.02)


def accepts(port):
    """Whether something listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A child process with its output in a file. Use it with `with`."""

    def __init__(self, name, command, port, log, env=None, cwd=None, deadline=DEADLINE):
        self.name, self.port, self.log, self.deadline = name, port, Path(log), deadline
        self.command = [str(part) for part in command]
        self.env, self.cwd = env, cwd
        self.process = None

    def __enter__(self):
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env, cwd=self.cwd
            )
        try:
            wait_until(self._ready, f"{self.name} listens on {self.port}", self.deadline)
        except AssertionError:
            self.stop()
            raise AssertionError(f"{self.name} did not come up:\n{self.output()}") from None
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")
        return accepts(self.port)

    def output(self):
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def stop(self):
        """SIGTERM, and SIGKILL to one that does not listen to it. Returns the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode
