"""HTTP/1.1 as plainly as it gets: reads heads and bodies off a stream and says exactly what was wrong with them (RFC 9112)."""
import asyncio

LONGEST_HEAD = 64 << 10


class Broken(Exception):
    """What came is not a whole message."""


class Head:
    """A start line and fields; names are in lower case, and of equal ones the last counts."""

    def __init__(self, raw):
        self.start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        self.fields = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise Broken(f"no field: {line[:60]!r}")
            self.fields[name.lower()] = value.strip()

    def get(self, name):
        return self.fields.get(name, "")

    def closes(self):
        """Whether this is the connection's last message."""
        return "close" in self.get("connection").lower()


async def read_head(reader):
    """The next head; None where the connection ends before its first byte."""
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Broken(f"the head breaks off after {len(error.partial)} bytes") from None
        return None
    except asyncio.LimitOverrunError:
        raise Broken(f"a head of more than {LONGEST_HEAD} bytes") from None


async def read_body(reader, head, to_the_end):
    """The body that the head announces. Where it announces none: nothing, or what comes `to_the_end` of the connection."""
    if "chunked" in head.get("transfer-encoding").lower():
        return await _chunks(reader)
    length = head.get("content-length")
    if length:
        return await _exactly(reader, int(length), "the body")
    return await reader.read() if to_the_end else b""


def status(head):
    """The status of a response's head."""
    version, _, rest = head.start.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise Broken(f"no status line: {head.start[:60]!r}")
    return int(rest[:3])


async def _chunks(reader):
    body = b""
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            raise Broken(f"the chunks break off after {len(body)} bytes") from None
        if size == 0:
            break
        body += await _exactly(reader, size, "a chunk")
        await _exactly(reader, 2, "a chunk's end")
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    return body


async def _exactly(reader, length, what):
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise Broken(f"{what} breaks off after {len(error.partial)} of {length} bytes") from None
