"""A visitor with a browser's cookie jar, and how to read what a cache says of itself."""
import re

import requests
from bs4 import BeautifulSoup
from requests.adapters import HTTPAdapter


class FromAddress(HTTPAdapter):
    """Connects from a given loopback address, so that one test can be several peers."""

    def __init__(self, source):
        self.source = source
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=(self.source, 0), **kwargs)


class Visitor(requests.Session):
    """Speaks to the server at a port under a site's host name, as a browser does behind DNS."""

    def __init__(self, port, host=None, source=None):
        super().__init__()
        self.base = f"http://127.0.0.1:{port}"
        self.trust_env = False
        if host:
            self.headers["Host"] = host
        if source:
            self.mount("http://", FromAddress(source))

    def request(self, method, url, **options):
        """As `requests`, with a path for the URL, a limit on the wait, and no redirects followed."""
        options.setdefault("timeout", 30)
        options["allow_redirects"] = False
        return super().request(method, self.base + url, **options)

    def sign_in(self, path, name):
        """Fills in a login form of Django's: the token in the form, the token's cookie, name and password."""
        form = form_fields(self.get(path), "form")
        form.update(username=name, password=f"{name}-secret")
        answer = self.post(path, data=form)
        assert answer.status_code == 302, f"{name} could not sign in: {answer.status_code}\n{answer.text}"
        assert "sessionid" in self.cookies
        return self


def form_fields(page, selector):
    """What a browser would send for a form, as a dict of name to value(s)."""
    assert page.status_code == 200, f"{page.status_code} {page.url}\n{page.text[:2000]}"
    form = BeautifulSoup(page.text, "html.parser").select_one(selector)
    assert form is not None, f"no {selector} in {page.url}"
    fields = {}
    for field in form.select("input[name], textarea[name], select[name]"):
        name = field["name"]
        if field.name == "select":
            chosen = [option.get("value", "") for option in field.select("option[selected]")]
            if chosen:
                fields[name] = chosen
        elif field.name == "textarea":
            fields[name] = field.text.removeprefix("\n")
        elif field.get("type") in ("checkbox", "radio"):
            if field.has_attr("checked"):
                fields[name] = field.get("value", "on")
        elif field.get("type") not in ("submit", "button", "image", "file"):
            fields[name] = field.get("value", "")
    return fields


def cache_status(response, cache="copal"):
    """The parameters of one cache in `Cache-Status` (RFC 9211): names to text, or True for those without a value."""
    for member in re.split(r",\s*(?=[^\"]*(?:\"[^\"]*\"[^\"]*)*$)", response.headers.get("Cache-Status", "")):
        name, *parameters = [part.strip() for part in member.split(";")]
        if name == cache:
            pairs = (parameter.partition("=") for parameter in parameters)
            return {key: value.strip('"') if equals else True for key, equals, value in pairs}
    raise AssertionError(f"{response.url}: no Cache-Status of {cache} in {dict(response.headers)}")


def is_hit(response):
    """Whether the response came from the cache without a word to the origin."""
    return "hit" in cache_status(response)
