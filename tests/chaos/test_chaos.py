"""Everything breaks, one after the other and in random order, and the visitors are not to notice."""
import os
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

import faults
import judge
from conftest import copal, haproxy
from course import Course
from harness.processes import ROOT

SEED = int(os.environ.get("CHAOS_SEED", 20261129))
REPORT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "chaos.md"


@pytest.fixture(scope="module")
def run(site, tmp_path_factory):
    """The whole course, once, before Copal and HAProxy at the same time."""
    chance = random.Random(SEED)
    web1, web2, spare = site.servers
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("run")
        fronts = {"Copal": stack.enter_context(copal(site, folder, "copal.yaml")),
                  "HAProxy": stack.enter_context(haproxy(site, folder))}
        course = stack.enter_context(Course(site.servers, site.names, fronts, folder))
        course.undisturbed()
        for number, fault in enumerate(faults.FAULTS):
            course.suffer(fault, [web2 if fault.php or number % 2 else web1])
        print(f"in random order, CHAOS_SEED={SEED}")
        for fault in chance.sample(faults.FAULTS, len(faults.FAULTS)):
            # Now and then both, so that only the spare is left.
            course.suffer(fault, [web2] if fault.php else chance.choice([[web1], [web2], [web1], [web1, web2]]))
        # Last, as requests that are tried on one dead server after the other use up what may be tried again for ten seconds.
        for fault in [faults.KILLED, faults.STOPPED, faults.CUT]:
            course.suffer(fault, [web1, web2, spare], dead=True)
        course.finish()
    report = f"{judge.summary(course.phases, list(fronts))}\n{judge.table(course.phases, list(fronts))}"
    REPORT.write_text(report)
    print(f"\n{report}")
    return course


def test_no_visitor_of_a_stored_page_notices_anything(run):
    bad = judge.failed(one for one in run.requests("Copal") if one.kind == "stored")
    assert not bad, judge.reasons(bad)


def test_no_request_that_may_be_repeated_fails_while_a_server_is_left(run):
    bad = [(phase.name, phase.where, judge.failed(phase.of("Copal", *judge.UNCACHED))) for phase in run.phases if not phase.dead]
    assert not any(requests for _, _, requests in bad), "\n".join(
        f"{name} at {where}:\n{judge.reasons(requests)}" for name, where, requests in bad if requests)


def test_no_order_is_carried_out_twice(run):
    assert not judge.twice(run.orders("Copal"))


def test_an_order_that_was_confirmed_was_carried_out(run):
    confirmed = {one.url.partition("id=")[2] for one in run.requests("Copal") if one.kind == "post" and one.ok}
    assert confirmed and confirmed <= set(run.orders("Copal"))


def test_nobody_gets_the_answer_to_another_request(run):
    bad = judge.mixed_up(run.requests("Copal"))
    assert not bad, judge.reasons(bad)


def test_each_server_is_used_again_after_each_fault(run):
    faulty = [phase for phase in run.phases if phase.where]
    assert len(faulty) == 2 * len(faults.FAULTS) + 3
    assert not [(phase.name, phase.where) for phase in faulty if phase.returned["Copal"] is None]


def test_the_operator_can_always_ask_how_the_servers_are(run):
    watch = run.watches["Copal"]
    assert watch.states and not watch.errors


def test_every_request_of_the_load_has_its_outcome(run):
    for proxy, sent in run.sent.items():
        requests = run.requests(proxy)
        assert len(requests) == sent
        assert not [one for one in requests if one.why == "the visitors stand in each other's way"]
        for kind in judge.KINDS:
            assert any(one.kind == kind and one.ok for one in requests), (proxy, kind)
