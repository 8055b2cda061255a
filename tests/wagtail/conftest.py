"""The CMS and Copal, each as its users run it."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness.processes import Server, copal_binary, free_port  # noqa: E402
from harness.visitor import Visitor  # noqa: E402

SITE = HERE / "site"
HOST = "www.example.test"

# What a user would write. Pages under /articles/ take their personal part from /esi/user/, so they are the same for
# everybody and may be cached for those who are signed in too.
CONFIG = """
listen:
  - address: "127.0.0.1:{port}"
origins:
  cms:
    servers: ["http://127.0.0.1:{cms}"]
purge:
  allow: ["127.0.0.1"]
policies: [wagtail]
rules:
  - name: user-block
    match: {{ path: "/esi/user/**" }}
    pass: true
  - name: articles
    match: {{ path: "/articles/**", method: [GET, HEAD] }}
    cache: {{ grace: 1h }}
    esi: true
    sessions: ignore
log:
  access: combined
  path: "{log}"
"""


class Cms:
    """A running Wagtail site with its request log."""

    def __init__(self, data, port):
        self.data, self.port = data, port

    def requests(self, path=None):
        """Every request that the CMS has seen, in order; with a path, only those for it."""
        log = self.data / "requests.jsonl"
        seen = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [one for one in seen if path in (None, one["path"])]

    def output(self):
        """What it has printed: its own complaints, say that a PURGE failed."""
        return (self.data / "output.log").read_text()


class Copal:
    """A running Copal with its access log."""

    def __init__(self, port, log):
        self.port, self.log = port, log

    def visitor(self, **options):
        """Somebody new, with no cookies."""
        return Visitor(self.port, HOST, **options)

    def purges(self, path):
        """The access log's lines about a PURGE of the path."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if '"PURGE ' in line and f"{path} HTTP/" in line]


def environment(data, cache_port):
    """What the site's settings read."""
    return dict(
        os.environ,
        CMS_DATA=str(data),
        FRONTEND_CACHE=f"http://127.0.0.1:{cache_port}",
        DJANGO_SETTINGS_MODULE="cms.settings",
        PYTHONDONTWRITEBYTECODE="1",
    )


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    """A migrated database with the sample content; each site starts from a copy."""
    data = tmp_path_factory.mktemp("content")
    for command in ["migrate", "sample_content"]:
        done = subprocess.run(
            [sys.executable, "manage.py", command, "--verbosity=0"],
            cwd=SITE, env=environment(data, free_port()), capture_output=True, text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return data


@pytest.fixture(scope="session")
def start_cms(content, tmp_path_factory):
    """Starts a site of its own: `start_cms(cache_port)` gives a context manager with a `Cms` in `.cms`."""

    def start(cache_port):
        data = tmp_path_factory.mktemp("cms")
        shutil.copy(content / "db.sqlite3", data)
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread",
                   "--workers", "1", "--threads", "8", "--no-control-socket", "cms.wsgi"]
        server = Server("the CMS", command, port, data / "output.log", environment(data, cache_port), SITE)
        server.cms = Cms(data, port)
        return server

    return start


@pytest.fixture(scope="module")
def cache_port():
    """Where Copal will listen; the CMS has to know before it starts."""
    return free_port()


@pytest.fixture(scope="module")
def cms(start_cms, cache_port):
    """The site behind Copal."""
    with start_cms(cache_port) as server:
        yield server.cms


@pytest.fixture(scope="module")
def copal(cms, cache_port, tmp_path_factory):
    """Copal before the site."""
    folder = tmp_path_factory.mktemp("copal")
    log, config = folder / "access.log", folder / "copal.yaml"
    config.write_text(CONFIG.format(port=cache_port, cms=cms.port, log=log))
    checked = subprocess.run([copal_binary(), "check", "--config", config], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    command = [copal_binary(), "run", "--config", config]
    with Server("copal", command, cache_port, folder / "output.log"):
        yield Copal(cache_port, log)
