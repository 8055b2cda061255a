"""A name server for the zone of the test (RFC 1035): one address a name, with a lifetime of a second."""
import socket
import struct
import threading

A, LIFETIME = 1, 1
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3


class NameServer:
    """Answers over UDP on loopback from a thread. Use it with `with`."""

    def __init__(self):
        self.addresses, self.failing, self.asked = {}, False, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while True:
            query, sender = self.socket.recvfrom(4096)
            if not query:
                return
            if len(query) > 16:
                self.asked += 1
                self.socket.sendto(self._answer(query), sender)

    def _answer(self, query):
        """The response to a query with one question."""
        number, flags = struct.unpack("!HH", query[:4])
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        (kind,) = struct.unpack("!H", query[at + 1:at + 3])
        address = self.addresses.get(".".join(labels).lower())
        code, records = NO_ERROR, b""
        if self.failing:
            code = SERVER_FAILURE
        elif address is None:
            code = NO_SUCH_NAME
        elif kind == A:
            records = struct.pack("!HHHIH", 0xC00C, A, 1, LIFETIME, 4) + socket.inet_aton(address)
        # A response, with authority, to a recursive question where it was one.
        head = struct.pack("!HHHHHH", number, 0x8400 | flags & 0x0100 | 0x0080 | code, 1, 1 if records else 0, 0, 0)
        return head + question + records
