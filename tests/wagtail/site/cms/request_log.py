"""What the CMS sees: one JSON line for each request, written before the request is worked on.

A server's own access log is written after the response has been sent, so a client that has its answer could find the
line not yet there. This one cannot be late.
"""
import json
import os
from pathlib import Path

PATH = Path(os.environ["CMS_DATA"]) / "requests.jsonl"


class RequestLog:
    """Middleware, the outermost."""

    def __init__(self, get_response):
        self.get_response = get_response
        self.file = os.open(PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def __call__(self, request):
        line = {
            "method": request.method,
            "path": request.path,
            "query": request.META.get("QUERY_STRING", ""),
            "host": request.META.get("HTTP_HOST", ""),
            "cookies": sorted(request.COOKIES),
            "headers": {name.lower(): value for name, value in request.headers.items()},
        }
        os.write(self.file, (json.dumps(line) + "\n").encode())
        return self.get_response(request)
