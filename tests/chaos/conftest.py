"""The servers, each on a host of its own, the name server, and the proxies; everything ends with the test."""
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import faults  # noqa: E402
import pages  # noqa: E402
import proxies  # noqa: E402
from harness.processes import Server, copal_binary, free_port  # noqa: E402
from names import NameServer  # noqa: E402
from servers import WebServer, ip  # noqa: E402


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Two web servers and a spare under their names."""
    # A network of this test's own has nothing yet but a loopback device, and that is not up.
    devices = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True).stdout.splitlines()
    assert len(devices) == 1, "the test makes and cuts networks: please run it by  tests/run chaos"
    ip("link", "set", "lo", "up")
    folder = tmp_path_factory.mktemp("site")
    files = folder / "files"
    files.mkdir()
    pages.write(files)
    (files / "index.php").write_text((HERE / "site/index.php").read_text())
    with ExitStack() as stack:
        names = stack.enter_context(NameServer())
        servers = []
        for number, (name, php) in enumerate([("web1", False), ("web2", True), ("spare", False)], 1):
            server = stack.enter_context(WebServer(name, number, php, files, folder / name))
            server.backup = name == "spare"
            faults.tell(server, names)
            servers.append(server)
        yield SimpleNamespace(servers=servers, names=names)


@contextmanager
def copal(site, folder, conf):
    """Copal with one of the configurations of `site/`. Gives its port and what asks it for its servers."""
    port, admin = free_port(), free_port()
    text = (HERE / "site" / conf).read_text()
    for name, value in [("PORT", port), ("ADMIN", admin), ("DNS", site.names.port)]:
        text = text.replace(f"@{name}@", str(value))
    path = folder / "copal.yaml"
    path.write_text(text)
    checked = subprocess.run([copal_binary(), "check", "--config", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with Server("copal", [copal_binary(), "run", "--config", path], port, folder / "copal.log"):
        yield port, lambda: proxies.copal_states(admin)


@contextmanager
def haproxy(site, folder, change=lambda text: text):
    """HAProxy. The same for it."""
    port = free_port()
    text = change((HERE / "site/haproxy.cfg").read_text())
    for name, value in [("PORT", port), ("FOLDER", folder), ("DNS", site.names.port)]:
        text = text.replace(f"@{name}@", str(value))
    path = folder / "haproxy.cfg"
    path.write_text(text)
    with Server("haproxy", ["haproxy", "-db", "-f", path], port, folder / "haproxy.log"):
        yield port, lambda: proxies.haproxy_states(folder / "haproxy.sock")
