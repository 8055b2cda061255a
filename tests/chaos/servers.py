"""The web servers of the site, each in a network namespace of its own, and what can be done to them."""
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from harness.processes import wait_until

HERE = Path(__file__).resolve().parent
PORT = 8000


def ip(*words, inside=()):
    """`ip` of iproute2; `inside` says in which namespace."""
    done = subprocess.run([*inside, "ip", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(map(str, words))}: {done.stderr}"


class Host:
    """A network namespace with one wire to this one. Use it with `with`."""

    def __init__(self, number):
        self.wire, self.net = f"wire{number}", f"10.77.{number}"
        self.address = f"{self.net}.2"
        self.holder, self.inside = None, []

    def __enter__(self):
        # A process that does nothing but be there: the namespace is its own.
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        mine = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != mine, "a network namespace of its own")
        self.inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        ip("link", "add", self.wire, "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        ip("address", "add", f"{self.net}.1/24", "dev", self.wire)
        ip("link", "set", self.wire, "up")
        ip("link", "set", "lo", "up", inside=self.inside)
        ip("address", "add", f"{self.address}/24", "dev", "eth0", inside=self.inside)
        ip("link", "set", "eth0", "up", inside=self.inside)
        return self

    def __exit__(self, *_):
        self.holder.stdin.close()
        self.holder.wait()

    def cut(self):
        """The far end of the wire goes down: whatever is sent there is lost."""
        ip("link", "set", "eth0", "down", inside=self.inside)

    def join(self):
        ip("link", "set", "eth0", "up", inside=self.inside)

    def move(self):
        """Gives the host another address in place of the one that it has."""
        old = self.address
        self.address = f"{self.net}.{3 if old.endswith('.2') else 2}"
        # In this order, as the first address of a network takes the others with it.
        ip("address", "delete", f"{old}/24", "dev", "eth0", inside=self.inside)
        ip("address", "add", f"{self.address}/24", "dev", "eth0", inside=self.inside)
        return self.address

    def listeners(self, port):
        """How many sockets listen on a port there."""
        lines = Path(f"/proc/{self.holder.pid}/net/tcp").read_text().splitlines()[1:]
        return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


class Group:
    """A program with all the processes that it makes, which get their signals together."""

    def __init__(self, name, command, log, env=None):
        self.name, self.command, self.log, self.env = name, [str(part) for part in command], log, env
        self.process = None

    def start(self):
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env, start_new_session=True
            )

    def send(self, number):
        os.killpg(self.process.pid, number)

    def end(self, number=signal.SIGKILL):
        """A signal for all of them, and waits for the first one's end. A group that has ended already is left alone."""
        if self.process and self.process.poll() is None:
            self.send(number)
            self.process.wait(timeout=20)


class WebServer:
    """nginx with the site, from files or from PHP behind it, and the gate before it."""

    def __init__(self, name, number, php, site, folder):
        self.name, self.php, self.folder, self.site = name, php, folder, site
        self.host = Host(number)
        self.stack, self.gate, self.nginx, self.fastcgi = ExitStack(), None, None, None

    def __enter__(self):
        with ExitStack() as stack:
            stack.enter_context(self.host)
            for part in ["body", "fastcgi", "proxy"]:
                (self.folder / part).mkdir(parents=True)
            (self.folder / "orders.log").touch()
            if self.php:
                command = ["php-cgi", "-b", self.folder / "php.sock", "-d", "opcache.enable=0"]
                env = dict(os.environ, PHP_FCGI_CHILDREN="6", PHP_FCGI_MAX_REQUESTS="1000000")
                self.fastcgi = Group(f"PHP of {self.name}", command, self.folder / "php.log", env)
                stack.callback(self.fastcgi.end)
                self.start_php()
            self._configure(listening=True)
            command = [*self.host.inside, "nginx", "-c", self.folder / "nginx.conf", "-e", "stderr"]
            self.nginx = Group(self.name, command, self.folder / "nginx.log")
            stack.callback(self.nginx.end)
            stack.callback(lambda: self.nginx.process.poll() is None and self.nginx.send(signal.SIGCONT))
            self.start()
            command = [*self.host.inside, sys.executable, str(HERE / "gate.py"), str(PORT), str(self.folder / "nginx.sock")]
            self.gate = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(self.gate.wait)
            stack.callback(self.gate.stdin.close)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _configure(self, listening):
        conf = (HERE / "site/nginx.conf").read_text()
        own = (HERE / f"site/{'php' if self.php else 'static'}.conf").read_text()
        # One socket for each worker, which the gate can share the port with.
        listen = f"listen {PORT} reuseport;" if listening else ""
        for name, value in [("PAGES", own), ("LISTEN", listen), ("FOLDER", self.folder), ("SITE", self.site), ("NAME", self.name)]:
            conf = conf.replace(f"@{name}@", str(value))
        (self.folder / "nginx.conf").write_text(conf)

    # What is done to the processes.

    def start(self):
        (self.folder / "nginx.sock").unlink(missing_ok=True)
        self.nginx.start()
        wait_until(lambda: self.host.listeners(PORT), lambda: f"{self.name} listens: {self.nginx.log.read_text()[-2000:]}")

    def kill(self):
        """SIGKILL to nginx and all its workers at once, as when the machine runs out of memory."""
        self.nginx.end(signal.SIGKILL)

    def freeze(self):
        self.nginx.send(signal.SIGSTOP)

    def thaw(self):
        self.nginx.send(signal.SIGCONT)

    def restart(self):
        self.nginx.end(signal.SIGTERM)
        self.start()

    def start_php(self):
        (self.folder / "php.sock").unlink(missing_ok=True)
        self.fastcgi.start()
        wait_until((self.folder / "php.sock").exists, lambda: f"PHP listens: {self.fastcgi.log.read_text()[-2000:]}")

    def kill_php(self):
        self.fastcgi.end(signal.SIGKILL)

    # What the gate does.

    def play(self, fault):
        """Puts the gate in nginx's place, with a fault on all that goes through it."""
        self._tell("open")
        self._listen_or_not(False, 1)
        self._tell(fault)

    def stop_playing(self):
        """Puts nginx back in the gate's place."""
        before = self.host.listeners(PORT)
        self._listen_or_not(True, before + 2)
        self._tell("close")
        wait_until(lambda: self.host.listeners(PORT) == 2, f"{self.name} has its port for itself")

    def _listen_or_not(self, listening, sockets):
        self._configure(listening)
        os.kill(self.nginx.process.pid, signal.SIGHUP)
        wait_until(lambda: self.host.listeners(PORT) == sockets, lambda: f"{sockets} sockets at {self.name}: {self.nginx.log.read_text()[-2000:]}")

    def _tell(self, word):
        self.gate.stdin.write(word + "\n")
        self.gate.stdin.flush()
        assert self.gate.stdout.readline() == "done\n", f"the gate of {self.name} does not {word}"

    def orders(self):
        """The orders that were carried out here."""
        return [line.partition(" ")[2] for line in (self.folder / "orders.log").read_text().splitlines() if line.startswith("POST ")]
