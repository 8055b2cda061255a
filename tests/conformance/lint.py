"""An exchange over a real socket, and what `httplint` (the rules behind redbot.org) says of the response."""
import http.client
import time
from dataclasses import dataclass, field

from httplint import HttpRequestLinter, HttpResponseLinter, levels


@dataclass
class Served:
    """A response as it came over the wire, with the linter's notes."""

    status: int
    headers: list
    body: bytes
    notes: list = field(repr=False, default_factory=list)

    def header(self, name):
        """The first line of that name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def faults(self):
        """The notes that say that something is wrong or doubtful: their class's name to the sentence."""
        return {
            type(note).__name__: f"{note.level.value}: {note.summary}"
            for note in self.notes if note.level in (levels.BAD, levels.WARN)
        }


def exchange(port, method, path, headers=()):
    """One request on a connection of its own."""
    sent = [("Host", f"127.0.0.1:{port}"), ("User-Agent", "copal-tests"), *headers]
    started = time.time()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        arrived = time.time()
        served = Served(answer.status, answer.headers.items(), answer.read())
        reason = answer.reason
    finally:
        connection.close()
    served.notes = linted(method, f"http://127.0.0.1:{port}{path}", sent, served, reason, (started, arrived))
    return served


def linted(method, url, sent, served, reason, times):
    """The notes on a response to that request, and the notes on its parts."""
    request = HttpRequestLinter(start_time=times[0])
    request.process_request_topline(method.encode(), url.encode(), b"1.1")
    request.process_headers(octets(sent))
    request.finish_content(True)
    response = HttpResponseLinter(start_time=times[1])
    response.request = request
    response.base_uri = url
    response.is_head_response = method == "HEAD"
    response.process_response_topline(b"1.1", str(served.status).encode(), reason.encode())
    response.process_headers(octets(served.headers))
    response.feed_content(served.body)
    response.finish_content(True)
    return [one for note in response.notes for one in (note, *note.subnotes)]


def octets(headers):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
