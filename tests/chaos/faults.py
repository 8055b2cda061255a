"""Everything that is done to the servers, and how it is undone."""
from collections.abc import Callable
from dataclasses import dataclass

ZONE = "chaos.test"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with a server. `begin` and `end` get the server and the name server."""

    name: str
    begin: Callable
    end: Callable = None
    # Only for the server with PHP.
    php: bool = False
    # It is over as soon as it has begun, and what is of interest is how soon the server is used again.
    passing: bool = False
    # What it happens to, where that is not the servers.
    where: str = ""


def by_process(name, begin, end=None, **more):
    """A fault of the server's processes or of its wire."""
    return Fault(name, lambda server, _: getattr(server, begin)(), end and (lambda server, _: getattr(server, end)()), **more)


def by_gate(name, play):
    """A fault that the gate plays in nginx's place."""
    return Fault(name, lambda server, _: server.play(play), lambda server, _: server.stop_playing())


def tell(server, names):
    """Has the name server answer with the address that the server has now."""
    names.addresses[f"{server.name}.{ZONE}"] = server.host.address


def move(server, names):
    server.host.move()
    tell(server, names)


def name_server_fails(_, names):
    names.failing = True


def name_server_answers(_, names):
    names.failing = False


KILLED = by_process("killed (SIGKILL)", "kill", "start")
STOPPED = by_process("stopped (SIGSTOP)", "freeze", "thaw")
CUT = Fault("network cut", lambda server, _: server.host.cut(), lambda server, _: server.host.join())
REFUSES = by_gate("refuses connections", "refuse")
RESETS = by_gate("resets in mid-body", "reset")
SWALLOWS = by_gate("carries out, then resets unanswered", "swallow")

FAULTS = [
    KILLED,
    STOPPED,
    by_process("restarted", "restart", passing=True),
    by_process("PHP killed (502 from nginx)", "kill_php", "start_php", php=True),
    REFUSES,
    by_gate("accept queue full", "queue"),
    by_gate("takes requests, never answers", "silent"),
    by_gate("answers slowly (drip)", "drip"),
    by_gate("stalls in mid-body", "stall"),
    RESETS,
    SWALLOWS,
    by_gate("answers what is no HTTP", "garbage"),
    by_gate("breaks its chunks", "chunk"),
    by_gate("sends less than it announces", "short"),
    by_gate("sends an answer nobody asked for", "unasked"),
    by_gate("answers 503 to everything", "errors"),
    CUT,
    Fault("moves to another address (DNS)", move, passing=True),
    Fault("name server fails", name_server_fails, name_server_answers, where="name server"),
]
