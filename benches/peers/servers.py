"""The servers that are compared: how a user would run each of them as a cache with 1 GiB before one origin."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from harness.processes import Server, free_port  # noqa: E402

NGINX = """
daemon off;
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=site:64m max_size=1g inactive=1h use_temp_path=off;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://origin;
            proxy_cache site;
            proxy_cache_lock on;
        }}
        location /pass/ {{
            proxy_pass http://origin;
        }}
    }}
}}
"""

HAPROXY = """
global
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
cache site
    total-max-size 1024
    max-object-size 1000000
    max-age 3600
frontend web
    bind 127.0.0.1:{port}
    default_backend site
backend site
    http-request cache-use site unless {{ path_beg /pass/ }}
    http-response cache-store site
    server origin 127.0.0.1:{origin}
"""

VARNISH = """
vcl 4.1;
backend origin {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{
    if (req.url ~ "^/pass/") {{ return (pass); }}
}}
sub vcl_backend_response {{
    if (bereq.url ~ "^/esi/page") {{ set beresp.do_esi = true; }}
}}
"""

COPAL = """
listen:
  - address: "127.0.0.1:{port}"
admin:
  address: "127.0.0.1:{admin}"
origins:
  site:
{servers}
cache:
  memory: 1GiB
log:
  access: combined
  path: "{folder}/access.log"
rules:
  - name: personal
    match: {{ path: "/pass/**" }}
    pass: true
  - name: pages-with-fragments
    match: {{ path: "/esi/page*" }}
    cache: {{ grace: 1h }}
    esi: true
  - name: pages
    cache: {{ grace: 1h }}
"""


ONE_SERVER = """\
    servers: ["http://127.0.0.1:{origin}"]"""

# The same origin under two names: what it costs to choose, to count and to check, and nothing else.
A_POOL = """\
    servers: ["http://127.0.0.1:{origin}", "http://localhost:{origin}"]
    balance: least_requests
    health: {{ path: /1k/health, interval: 1s }}"""


class Launcher:
    """Starts servers below a folder, each with a folder of its own."""

    def __init__(self, folder, floor, copal=None):
        self.folder, self.floor, self.copal = Path(folder), floor, copal
        self.origin = None
        self.started = 0

    def _server(self, name, command, config=None, **facts):
        self.started += 1
        folder = self.folder / f"{self.started}-{name}"
        folder.mkdir()
        facts |= {"port": free_port(), "folder": folder, "origin": self.origin.port if self.origin else None}
        if config:
            (folder / "config").write_text(config.format(**facts))
        command = [str(word).format(**facts) for word in command]
        server = Server(name, command, facts["port"], folder / "output.log")
        server.folder = folder
        return server

    def bare(self, body):
        """The bare responder with a body of so many bytes."""
        return self._server("floor", [self.floor, "--listen", "127.0.0.1:{port}", "--body", body])

    def start_origin(self):
        """The origin of all servers; to be entered before the others are made."""
        self.origin = self._server("origin", [self.floor, "--listen", "127.0.0.1:{port}", "--origin"])
        return self.origin

    def nginx(self):
        user = "user root;" if os.geteuid() == 0 else ""
        return self._server("nginx", ["nginx", "-p", "{folder}", "-c", "{folder}/config"], NGINX, user=user)

    def haproxy(self):
        return self._server("haproxy", ["haproxy", "-db", "-f", "{folder}/config"], HAPROXY)

    def varnish(self):
        command = ["varnishd", "-F", "-j", "none", "-n", "{folder}/work", "-a", "127.0.0.1:{port}",
                   "-s", "malloc,1g", "-f", "{folder}/config"]
        return self._server("varnish", command, VARNISH)

    def copal_server(self):
        return self._copal("copal", ONE_SERVER)

    def copal_pool(self):
        """Copal with a pool of two servers that is balanced and checked; for what passes."""
        return self._copal("copal-pool", A_POOL)

    def _copal(self, name, servers):
        command = [self.copal, "run", "--config", "{folder}/config"]
        return self._server(name, command, COPAL.replace("{servers}", servers), admin=free_port())

    def proxies(self):
        """Every proxy, by name; Copal where there is one."""
        makers = {"haproxy": self.haproxy, "nginx": self.nginx, "varnish": self.varnish}
        ours = {"copal": self.copal_server, "copal-pool": self.copal_pool} if self.copal else {}
        return ours | makers


def versions(copal=None):
    """What each program says of itself, one line each."""
    commands = {
        "haproxy": ["haproxy", "-v"], "nginx": ["nginx", "-v"], "varnish": ["varnishd", "-V"], "wrk": ["wrk", "-v"],
    }
    if copal:
        commands["copal"] = [copal, "--version"]
    said = {}
    for name, command in commands.items():
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said[name] = run.stdout.strip().splitlines()[0] if run.stdout.strip() else "unknown"
    return said
