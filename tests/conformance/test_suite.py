"""The public suite of tests for HTTP caches against the real binary, in its default configuration and in a site's, with a ledger."""
import pytest

import suite
from conftest import SCORES
from ledger import RUNS, Ledger

CONFIGURATIONS = {"default": None, "site": suite.HERE / "copal.yaml"}


@pytest.fixture(scope="module")
def tests():
    return suite.catalogue()


@pytest.fixture(scope="module")
def ledger():
    return Ledger(suite.HERE / "ledger.yaml")


@pytest.fixture(scope="module", params=RUNS)
def run(request, tests, tmp_path_factory):
    """(name, score) of one run."""
    results = suite.run(CONFIGURATIONS[request.param], tmp_path_factory.mktemp(request.param))
    SCORES[request.param] = suite.Score(tests, results)
    return request.param, SCORES[request.param]


def listed(found):
    return "".join(f"\n  {id}: {told}" for id, told in found.items())


def test_the_suite_is_the_one_whose_score_is_told(tests):
    """157 and 86 are the tests of tests/index.mjs that are not for browsers only."""
    def count(kind, surrogate):
        return sum(one.kind == kind and (one.group == "surrogate-control") == surrogate for one in tests.values())
    assert [count(kind, False) for kind in suite.KINDS] == [157, 86, 86]
    assert [count(kind, True) for kind in suite.KINDS] == [8, 9, 4]


@pytest.mark.parametrize("kind", ["required", "optimal"])
def test_every_test_is_met_or_in_the_ledger(run, ledger, kind):
    name, score = run
    excused = ledger.excused(name)
    news = {id: told for id, told in score.unmet(kind).items() if id not in excused}
    assert not news, f"{name}: {len(news)} {kind} tests are not met and have no line under `unmet`:{listed(news)}"


def test_every_line_of_the_ledger_still_holds(run, ledger, tests):
    name, score = run
    strange = [id for id in ledger.unmet if id not in tests or tests[id].kind == "check"]
    assert not strange, f"`unmet` names what is no required or optimal test: {strange}"
    by_now = sorted(id for id in ledger.excused(name) if score.outcomes[id].met)
    assert not by_now, f"{name}: met by now, take the run out of their lines: {by_now}"


def test_every_open_question_is_answered_as_the_ledger_says(run, ledger, tests):
    name, score = run
    answers = ledger.answers(name)
    asked = {id for id, one in tests.items() if one.kind == "check"}
    assert set(answers) == asked, f"`checks` lacks {sorted(asked - set(answers))}, knows no {sorted(set(answers) - asked)}"
    changed = {
        id: f"the ledger says met: {str(answers[id]).lower()}; now {score.outcomes[id]}"
        for id in sorted(asked) if score.outcomes[id].met != answers[id]
    }
    assert not changed, f"{name}: {len(changed)} answers differ from the ledger:{listed(changed)}"
