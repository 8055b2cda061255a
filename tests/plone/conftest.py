"""Plone and Copal, each as its users run it; everything in temporary folders, on loopback, ended at the end."""
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness.processes import Server, copal_binary, free_port  # noqa: E402
from harness.visitor import Visitor  # noqa: E402

# Where tests/run has installed Plone.
PLONE = Path(os.environ.get("PLONE_VENV", "target/plone")).resolve() / "bin"

HOST = "www.example.test"

# What a user would write.
CONFIG = """
listen: "127.0.0.1:{port}"
origins: {{ cms: "http://127.0.0.1:{cms}" }}
policies: [plone]
purge: {{ allow: ["127.0.0.1"] }}
"""


class Cms:
    """A running Plone: its folder, its port, and the port at which it knows its proxy."""

    def __init__(self, folder, port, cache):
        self.folder, self.port, self.cache = folder, port, cache

    def requests(self, path=None):
        """Paths of the requests that Plone has answered, in order; with a path, only those for it."""
        log = (self.folder / "requests.log").read_text()
        paths = [line.split('"')[1].split(" ")[1] for line in log.splitlines()]
        return [one for one in paths if path in (None, one)]

    def output(self):
        """What it has printed: its own complaints."""
        return (self.folder / "output.log").read_text()


class Copal:
    """A running Copal before the site."""

    def __init__(self, port):
        self.port = port

    def visitor(self, **options):
        """Somebody new, with no cookies."""
        return Visitor(self.port, HOST, **options)


@pytest.fixture(scope="session")
def cms(tmp_path_factory):
    """The site: Plone by waitress, made by its own profiles."""
    folder = tmp_path_factory.mktemp("plone")
    port, cache = free_port(), free_port()
    for name in ["etc", "templates"]:
        (folder / name).mkdir()
    shutil.copy(HERE / "site/site.zcml", folder / "etc")
    for name in ["zope.conf", "zope.ini"]:
        text = (HERE / "site" / name).read_text()
        (folder / name).write_text(text.replace("FOLDER", str(folder)).replace("PORT", str(port)))
    environment = dict(os.environ, CACHING_PROXY=f"http://127.0.0.1:{cache}", PYTHONDONTWRITEBYTECODE="")
    done = subprocess.run(
        [PLONE / "zconsole", "run", folder / "zope.conf", HERE / "site/content.py"],
        env=environment, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with Server("Plone", [PLONE / "runwsgi", folder / "zope.ini"], port, folder / "output.log", environment, deadline=180):
        yield Cms(folder, port, cache)


@contextmanager
def copal_before(cms, folder, config=CONFIG):
    """Copal with a configuration before the site, at the port where Plone knows its proxy."""
    path = folder / "copal.yaml"
    path.write_text(config.format(port=cms.cache, cms=cms.port))
    checked = subprocess.run([copal_binary(), "check", "--config", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with Server("copal", [copal_binary(), "run", "--config", path], cms.cache, folder / "output.log"):
        yield Copal(cms.cache)


@pytest.fixture(scope="module")
def copal(cms, tmp_path_factory):
    """Copal before the site, as its user would configure it."""
    with copal_before(cms, tmp_path_factory.mktemp("copal")) as running:
        yield running
