"""That the judge finds what is wrong: with made-up answers, and with proxies that are set up without care."""
from contextlib import ExitStack

import pytest

import faults
import judge
import pages
import wire
from conftest import copal, haproxy
from course import Course

PAGE = "/live/3-700"


def answer(url, **fields):
    lines = ["HTTP/1.1 200 OK", f"X-Echo: {url}", *(f"{name}: {value}" for name, value in fields.items())]
    return wire.Head("\r\n".join(lines).encode())


@pytest.mark.parametrize("url, status, head, body, said", [
    (PAGE, 200, answer(PAGE), pages.body(PAGE), None),
    (f"{PAGE}?id=1", 200, answer(f"{PAGE}?id=1"), pages.body(PAGE), None),
    ("/order?id=1", 200, answer("/order?id=1"), b"URL /order?id=1\n", None),
    (PAGE, 502, answer(PAGE), pages.body(PAGE), "status 502"),
    (PAGE, 200, answer("/live/4-700"), pages.body(PAGE), "mixed up"),
    (PAGE, 200, answer(PAGE), pages.body("/live/4-700"), "mixed up"),
    (f"{PAGE}?id=1", 200, answer(f"{PAGE}?id=2"), pages.body(PAGE), "mixed up"),
    ("/order?id=1", 200, answer("/order?id=1"), b"URL /order?id=2\n", "mixed up"),
    (PAGE, 200, answer(PAGE), pages.body(PAGE)[:-1], "a wrong body of 699 bytes"),
    (PAGE, 200, answer(PAGE), pages.body(PAGE) + b"\n", "a wrong body of 701 bytes"),
    (PAGE, 200, answer(PAGE), pages.body(PAGE)[:-1] + b"?", "a wrong body of 700 bytes"),
])
def test_an_answer_is_right_only_when_it_is_the_whole_page_asked_for(url, status, head, body, said):
    why = judge.wrong_with(url, status, head, body)
    assert why is None if said is None else why.startswith(said)


def request(kind="stored", why=None, start=0.0, end=1.0):
    return judge.Request("Copal", kind, PAGE, start, end, why, "web1", "")


def test_the_table_counts_what_failed():
    requests = [request(), request(why="status 502"), request("pass"), request("miss", "status 503", end=3.0), request("post")]
    phase = judge.Phase("killed", "web1", 0, 1, 2, False, {"Copal": 0.25}, {"Copal": None}, requests)
    rows = judge.table([phase], ["Copal"]).splitlines()
    assert rows[2:] == ["| killed | web1 | Copal | 1 of 2 | 1 of 2 | 0 of 1 | 3.00 s | 0.25 s | – |"]
    dead = judge.Phase("killed", "all", 2, 3, 4, True, {"Copal": 0.5}, {"Copal": 0.75}, requests)
    rows = judge.summary([phase, phase, dead], ["Copal"]).splitlines()
    assert rows[2:4] == ["| killed | 2 | 2 of 4 | 2 of 4 | 0.25 s | – |", "| all servers: killed | 1 | 1 of 2 | 1 of 2 | 0.50 s | 0.75 s |"]
    assert rows[4].startswith("| **all**") and rows[4].endswith("| 3 | 3 of 6 | 2 of 4 |  |  |")


def test_orders_that_were_carried_out_twice_are_found():
    assert judge.twice(["1", "2", "3", "2"]) == ["2"]
    assert not judge.twice(["1", "2"])


@pytest.fixture(scope="module")
def careless(site, tmp_path_factory):
    """A short course before proxies of which each lacks what the other course is about."""
    web1, web2, spare = site.servers
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("careless")

        def repeats(text):
            assert "disable-l7-retry" in text
            return "\n".join(line for line in text.splitlines() if "disable-l7-retry" not in line) + "\n"
        fronts = {"Careless": stack.enter_context(copal(site, folder, "careless.yaml")),
                  "Repeating": stack.enter_context(haproxy(site, folder, repeats))}
        course = stack.enter_context(Course(site.servers, site.names, fronts, folder))
        course.suffer(faults.REFUSES, [web1])
        course.suffer(faults.RESETS, [web2])
        course.suffer(faults.SWALLOWS, [web1])
        course.suffer(faults.KILLED, [web1, web2, spare], dead=True)
        return course.finish()


def test_failed_requests_are_found_where_nothing_is_tried_again(careless):
    for phase in careless.phases:
        assert judge.failed(phase.of("Careless", *judge.UNCACHED)), phase.name


def test_failed_stored_pages_are_found_where_nothing_is_kept_for_bad_times(careless):
    assert judge.failed(careless.phases[-1].of("Careless", "stored"))


def test_orders_sent_twice_are_found_where_they_are_tried_again(careless):
    assert judge.twice(careless.orders("Repeating"))


def test_nothing_else_is_found(careless):
    assert not judge.mixed_up(careless.requests("Careless")) and not judge.twice(careless.orders("Careless"))
