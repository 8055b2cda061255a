"""WordPress and Copal, each as its users run it; everything in temporary folders, on loopback, ended at the end."""
import getpass
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness.processes import Server, copal_binary, free_port  # noqa: E402
from harness.visitor import Visitor  # noqa: E402

HOST = "www.example.test"
PACKAGE = Path("/usr/share/wordpress")
ADMIN_PASSWORD = "correct horse battery staple"

# What a user would write.
CONFIG = """
listen: "127.0.0.1:{port}"
origins: {{ cms: "http://127.0.0.1:{cms}" }}
policies: [wordpress]
purge: {{ allow: ["127.0.0.1"] }}
"""


class Cms:
    """A running WordPress: its folder, its port, and what it has seen and sent."""

    def __init__(self, folder, port):
        self.folder, self.port = folder, port

    def settings(self, **changes):
        """Changes what the plug-ins of the test read at each request: `cache`, Copal's port, and `dialect`."""
        path = self.folder / "settings.json"
        new = self.folder / "settings.new"
        new.write_text(json.dumps(json.loads(path.read_text()) | changes))
        new.replace(path)

    def requests(self, path=None):
        """Every request that WordPress has seen, in order; with a path, only those for it."""
        return [one for one in self._lines("requests.jsonl") if path in (None, one["path"])]

    def purges(self):
        """Every purge that WordPress has sent, with the answer's status."""
        return self._lines("purges.jsonl")

    def complaints(self):
        """What PHP has written of errors and warnings."""
        log = self.folder.parent / "php-errors.log"
        return log.read_text() if log.exists() else ""

    def _lines(self, name):
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Copal:
    """A running Copal before the site."""

    def __init__(self, port):
        self.port = port

    def visitor(self, **options):
        """Somebody new, with no cookies."""
        return Visitor(self.port, HOST, **options)


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """MariaDB with an empty database for the site. Gives its port."""
    folder = tmp_path_factory.mktemp("mariadb")
    mine = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={folder / 'data'}",
            "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M"]
    done = subprocess.run(
        ["mariadb-install-db", *mine, "--auth-root-authentication-method=normal", "--skip-test-db"],
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    start = folder / "start.sql"
    start.write_text(
        "CREATE DATABASE wordpress;\n"
        "CREATE USER 'wordpress'@'127.0.0.1' IDENTIFIED BY 'for the test only';\n"
        "GRANT ALL ON wordpress.* TO 'wordpress'@'127.0.0.1';\n"
    )
    port = free_port()
    command = ["mariadbd", *mine, f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", f"--port={port}",
               "--bind-address=127.0.0.1", f"--init-file={start}", "--skip-name-resolve", "--skip-log-bin",
               "--performance-schema=OFF", "--innodb-flush-log-at-trx-commit=0", "--max-connections=40"]
    with Server("MariaDB", command, port, folder / "output.log"):
        yield port


@pytest.fixture(scope="session")
def cms(database, tmp_path_factory):
    """The site: PHP behind nginx, set up by WordPress's own installer."""
    folder = tmp_path_factory.mktemp("site")
    folder.chmod(0o755)
    site = folder / "wordpress"
    shutil.copytree(PACKAGE, site, symlinks=True, ignore=shutil.ignore_patterns("wp-config.php", ".htaccess"))
    shutil.copytree(HERE / "site/mu-plugins", site / "wp-content/mu-plugins")
    for name in ["wp-config.php", "content.php"]:
        shutil.copy(HERE / "site" / name, site)
    port, php, sessions = free_port(), free_port(), folder / "sessions"
    (site / "settings.json").write_text(json.dumps({"database": database, "cache": port, "dialect": "none"}))
    for name in ["body", "fastcgi", "proxy", "uwsgi", "scgi"]:
        (folder / name).mkdir()
    sessions.mkdir()
    conf = (HERE / "site/nginx.conf").read_text()
    for name, value in [("PORT", port), ("PHP", php), ("FOLDER", folder)]:
        conf = conf.replace(name, str(value))
    (folder / "nginx.conf").write_text(conf)
    # PHP's own FastCGI server: it is the package's program without the package's service.
    php_command = ["php-cgi", "-b", f"127.0.0.1:{php}", "-d", f"session.save_path={sessions}", "-d", f"sys_temp_dir={folder}",
                   "-d", "opcache.validate_timestamps=0", "-d", "memory_limit=128M",
                   "-d", "log_errors=1", "-d", f"error_log={folder / 'php-errors.log'}", "-d", "display_errors=0"]
    environment = dict(os.environ, PHP_FCGI_CHILDREN="4", PHP_FCGI_MAX_REQUESTS="100000")
    with ExitStack() as running:
        running.enter_context(Server("PHP", php_command, php, folder / "php.log", env=environment))
        nginx = ["nginx", "-c", folder / "nginx.conf", "-e", "stderr"]
        running.enter_context(Server("nginx", nginx, port, folder / "nginx.log"))
        install(Visitor(port, HOST), site)
        yield Cms(site, port)


def install(visitor, site):
    """The five minutes of WordPress's installer, and then the sample content."""
    answer = visitor.post("/wp-admin/install.php?step=2", data={
        "weblog_title": "Sample", "user_name": "adminuser", "admin_password": ADMIN_PASSWORD, "admin_password2": ADMIN_PASSWORD,
        "admin_email": "admin@mail.example.test", "blog_public": "1", "language": "",
    }, timeout=120)
    assert "Success!" in answer.text, answer.text
    done = subprocess.run(["php", "content.php"], cwd=site, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def copal_before(cms, folder, config=CONFIG, dialect="urls"):
    """Copal with a configuration before the site, which tells it of its changes."""
    port = free_port()
    path = folder / "copal.yaml"
    path.write_text(config.format(port=port, cms=cms.port))
    checked = subprocess.run([copal_binary(), "check", "--config", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    cms.settings(cache=port, dialect=dialect)
    try:
        with Server("copal", [copal_binary(), "run", "--config", path], port, folder / "output.log"):
            yield Copal(port)
    finally:
        cms.settings(dialect="none")


@pytest.fixture(scope="module")
def copal(cms, tmp_path_factory):
    """Copal before the site, as its user would configure it."""
    with copal_before(cms, tmp_path_factory.mktemp("copal")) as running:
        yield running


@contextmanager
def naive_before(cms, folder):
    """nginx as a cache that heeds neither cookies nor what the site says of its pages, to see that the hunt finds that. Gives its port."""
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text((HERE / "site/naive.conf").read_text().replace("PORT", str(port)).replace("CMS", str(cms.port)).replace("FOLDER", str(folder)))
    for name in ["body", "fastcgi", "proxy", "uwsgi", "scgi"]:
        (folder / name).mkdir()
    with Server("nginx", ["nginx", "-c", conf, "-e", "stderr"], port, folder / "nginx.log"):
        yield port
