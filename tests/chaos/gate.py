"""The gate before a web server: takes over the server's port and plays a fault on each answer.

A program of its own, as it runs in the server's network namespace: `gate.py PORT SOCKET`, where SOCKET is the web server's other door.
One command a line on its input, each answered by a line: `open`, the name of a fault, `close`. It shares the port with the
web server (SO_REUSEPORT), which gives it up once the gate is open, so that nobody finds it closed in between.
"""
import asyncio
import socket
import struct
import sys

import wire

RESET = struct.pack("ii", 1, 0)
HEALTH = "/health"


class Gate:
    """The gate: what it plays, and the connections that it has."""

    def __init__(self, port, server):
        self.port, self.server = port, server
        self.fault, self.listener, self.accepting = "faithful", None, None
        # Those of `busy` are in the middle of an answer that they will come to the end of.
        self.fillers, self.writers, self.busy, self.tasks = [], set(), set(), set()

    def command(self, word):
        """Does as told. A word that is neither of the two others is a fault's."""
        if word == "open":
            self._listen()
        elif word == "close":
            self._shut(self.writers - self.busy)
        else:
            self.fault = word
            if word == "refuse":
                self._shut(self.writers)
            elif word == "queue":
                self._fill_queue()

    def _listen(self):
        self.fault = "faithful"
        self.listener = self._listener(128)
        self.accepting = asyncio.ensure_future(self._accept(self.listener))

    def _listener(self, backlog):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("0.0.0.0", self.port))
        listener.listen(backlog)
        listener.setblocking(False)
        return listener

    def _stop_listening(self):
        if self.accepting:
            self.accepting.cancel()
        if self.listener:
            self.listener.close()
        self.accepting = self.listener = None

    def _shut(self, writers):
        """Nothing listens any more, and these connections are reset. The others end with what they are about."""
        self._stop_listening()
        for filler in self.fillers:
            filler.close()
        self.fillers = []
        for writer in list(writers):
            reset(writer)

    def _fill_queue(self):
        """A listener that never accepts, with its queue full: who connects now is not answered at all."""
        queue = self._listener(0)
        self._stop_listening()
        self.listener = queue
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    async def _accept(self, listener):
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = asyncio.ensure_future(self._serve(connection))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _serve(self, connection):
        reader, writer = await asyncio.open_connection(sock=connection, limit=wire.LONGEST_HEAD)
        # Nothing is kept in this process: what is written has gone out when `drain` returns.
        writer.transport.set_write_buffer_limits(0)
        self.writers.add(writer)
        try:
            while self.listener and await self._answer(reader, writer):
                self.busy.discard(writer)
        except (wire.Broken, OSError):
            pass
        finally:
            self.writers.discard(writer)
            self.busy.discard(writer)
            writer.close()

    async def _answer(self, reader, writer):
        """Answers one request. Says whether the connection goes on."""
        head = await wire.read_head(reader)
        if head is None:
            return False
        body = await wire.read_body(reader, head, False)
        if self.fault in ("silent", "queue"):
            await reader.read()
            return False
        self.busy.add(writer)
        answer, content = await self._ask(head, body)
        whole = answer + b"Content-Length: %d\r\n\r\n" % len(content) + content
        play = FAULTS.get(self.fault)
        if play is None or (self.fault in AILING and f" {HEALTH} " in head.start):
            writer.write(whole)
            await writer.drain()
            return not head.closes()
        await play(writer, answer, content, whole)
        self.busy.discard(writer)
        if self.fault == "stall":
            await reader.read()
        return self.fault == "unasked"

    async def _ask(self, head, body):
        """What the web server answers: the head without what frames the body, and the body."""
        reader, writer = await asyncio.open_unix_connection(self.server, limit=wire.LONGEST_HEAD)
        try:
            dropped = ("connection", "content-length", "transfer-encoding", "upgrade", "te", "expect")
            lines = [head.start, *(f"{name}: {value}" for name, value in head.fields.items() if name not in dropped)]
            lines += ["Connection: close", *([f"Content-Length: {len(body)}"] if body else [])]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            answer = await wire.read_head(reader)
            if answer is None:
                raise wire.Broken("no answer")
            bare = wire.status(answer) in (204, 304) or head.start.startswith("HEAD ")
            content = b"" if bare else await wire.read_body(reader, answer, True)
            kept = [answer.start, *(f"{name}: {value}" for name, value in answer.fields.items() if name not in dropped)]
            return "\r\n".join([*kept, ""]).encode("latin-1"), content
        finally:
            writer.close()


def reset(writer):
    """Ends a connection by RST."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def send(writer, data):
    writer.write(data)
    await writer.drain()


async def play_reset(writer, _head, content, whole):
    await send(writer, whole[:len(whole) - len(content) // 2])
    reset(writer)


async def play_stall(writer, _head, content, whole):
    """Half of the answer, and then nothing more; the connection stays."""
    await send(writer, whole[:len(whole) - len(content) // 2])


async def play_drip(writer, _head, content, whole):
    """The whole answer, but in twenty pieces, over more than a second."""
    start, size = len(whole) - len(content), len(content) // 20 + 1
    await send(writer, whole[:start])
    for at in range(start, len(whole), size):
        await asyncio.sleep(0.06)
        await send(writer, whole[at:at + size])


async def play_garbage(writer, _head, _content, _whole):
    await send(writer, b"\x16\x03\x01 \x00\xff this is no HTTP\r\n\r\n" * 20)


async def play_chunk(writer, head, content, _whole):
    half = content[:len(content) // 2 + 1]
    await send(writer, head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nno size\r\n" % (len(half), half))


async def play_short(writer, head, content, _whole):
    await send(writer, head + b"Content-Length: %d\r\n\r\n" % (len(content) + 100) + content)


async def play_swallow(writer, _head, _content, _whole):
    """The request has been carried out, but nobody hears of it."""
    reset(writer)


async def play_unasked(writer, _head, _content, whole):
    """The answer, and in the same breath another one that nobody has asked for."""
    await send(writer, whole + b"HTTP/1.1 200 OK\r\nX-Echo: /unasked\r\nContent-Length: 13\r\n\r\nURL /unasked\n")


async def play_errors(writer, _head, _content, _whole):
    await send(writer, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbusy\n")


FAULTS = {
    "reset": play_reset, "stall": play_stall, "drip": play_drip, "garbage": play_garbage, "chunk": play_chunk, "short": play_short,
    "swallow": play_swallow, "unasked": play_unasked, "errors": play_errors,
}
# With these the server is well as far as health checks can tell.
AILING = ("reset", "stall", "drip", "chunk", "short", "swallow")


async def main(port, server):
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    gate = Gate(port, server)
    while word := (await commands.readline()).decode().strip():
        gate.command(word)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
