"""The npm package `http-cache-tests` (the older state of the suite behind cache-tests.fyi) run against Copal, and its score.

The package brings its own origin, its own client and the rules by which a result counts; here they are only started and read.
"""
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.processes import ROOT, Server, copal_binary, free_port

HERE = Path(__file__).resolve().parent
KINDS = ("required", "optimal", "check")
# A run takes 13 s on an idle machine; most of it is the suite's own pauses of 3 s.
LONGEST_RUN = 300


def package():
    """Where `tests/run` has unpacked the suite."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    folder = target / "http-cache-tests/node_modules/http-cache-tests"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: `tests/run conformance` installs it")
    return folder


@dataclass(frozen=True)
class Test:
    """A test as the suite describes it."""

    __test__ = False

    id: str
    group: str
    kind: str
    depends_on: tuple
    name: str


def catalogue():
    """The tests by id that apply to a shared cache: all but those for browsers only."""
    done = subprocess.run(
        ["node", "--no-warnings", HERE / "catalogue.mjs", package()], capture_output=True, text=True, check=True
    )
    tests = (one for one in json.loads(done.stdout) if not one.pop("browser_only"))
    return {one["id"]: Test(**one | {"depends_on": tuple(one["depends_on"])}) for one in tests}


def run(configuration, folder):
    """One run of all tests before a Copal of its own: with this YAML, or with no file at all. Gives the suite's own results."""
    origin_port, port = free_port(), free_port()
    origin, address = f"http://127.0.0.1:{origin_port}", f"127.0.0.1:{port}"
    if configuration is None:
        arguments = ["--origin", origin, "--listen", address]
    else:
        text = configuration.read_text()
        written = folder / "copal.yaml"
        written.write_text(text.replace("http://127.0.0.1:9000", origin).replace("127.0.0.1:8080", address))
        arguments = ["--config", written]
    server = Server(
        "the suite's origin", ["node", "server/server.mjs"], origin_port, folder / "origin.log", cwd=package(),
        env=settings(protocol="http", port=origin_port, pidfile=folder / "origin.pid"),
    )
    copal = Server("copal", [copal_binary(), "run", *arguments], port, folder / "copal.log")
    with server, copal:
        done = subprocess.run(
            ["node", "--no-warnings", "cli.mjs"], cwd=package(), env=settings(base=f"http://{address}"),
            capture_output=True, text=True, timeout=LONGEST_RUN,
        )
        assert copal.process.poll() is None, f"copal ended during the run:\n{copal.output()}"
    assert "panicked" not in copal.output(), copal.output()
    assert done.returncode == 0 and done.stdout.startswith("{"), done.stdout[:2000] + done.stderr[:2000]
    return json.loads(done.stdout)


def settings(**named):
    """The environment with the suite's settings, which it takes as npm would hand them over. Without an id it runs all tests."""
    given = {f"npm_config_{name}": str(value) for name, value in named.items()}
    return os.environ | {"npm_config_id": "", "npm_package_config_id": ""} | given


@dataclass(frozen=True)
class Outcome:
    """Whether a test counts as met, and what is in the way where it does not."""

    met: bool
    told: str = ""


class Score:
    """What a run comes to by the suite's rules."""

    def __init__(self, tests, results):
        lost = sorted(set(tests) - set(results))
        assert not lost, f"the suite gave no result for {lost}"
        self.tests, self.results = tests, results
        self.outcomes = {id: self._outcome(id) for id in tests}

    def _outcome(self, id):
        """A test is met when it passed and every test that it depends on is met."""
        for needed in self.tests[id].depends_on:
            if not self._outcome(needed).met:
                return Outcome(False, f"depends on {needed}, which is not met")
        result = self.results[id]
        return Outcome(True) if result is True else Outcome(False, ": ".join(map(str, result)))

    def unmet(self, kind):
        """The ids of this kind that are not met, each with what is in the way."""
        return {id: one.told for id, one in self.outcomes.items() if self.tests[id].kind == kind and not one.met}

    def count(self, kind, surrogate):
        """(met, all) of a kind, of tests/index.mjs or of surrogate-control.mjs."""
        of = [id for id, it in self.tests.items() if it.kind == kind and (it.group == "surrogate-control") == surrogate]
        return sum(self.outcomes[id].met for id in of), len(of)

    def lines(self):
        """The score in two lines. The figures by which caches are compared are those of the first."""
        for label, surrogate in (("tests/index.mjs", False), ("surrogate-control.mjs", True)):
            counts = (f"{kind} {met} of {all}" for kind in KINDS for met, all in [self.count(kind, surrogate)])
            yield f"{label:22}" + ", ".join(counts)
