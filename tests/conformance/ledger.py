"""The ledger: what Copal does not meet, and how it answers the suite's open questions."""
from pathlib import Path

import yaml

RUNS = ("default", "site")
SECTIONS = {"unmet": {"runs", "why", "clause", "says"}, "checks": {"met", "why"}}


class Ledger:
    """`ledger.yaml`, checked for form."""

    def __init__(self, path):
        self.path = Path(path)
        read = yaml.load(self.path.read_text(), Loader=Unambiguous)
        assert set(read) == set(SECTIONS), f"{path} has the sections {list(SECTIONS)}"
        for section, keys in SECTIONS.items():
            for id, line in read[section].items():
                assert set(line) == keys, f"{path}: {id} needs exactly {sorted(keys)}"
                for key in keys - {"runs", "met"}:
                    assert isinstance(line[key], str) and line[key].strip(), f"{path}: {id}: {key} says nothing"
        self.unmet, self.checks = read["unmet"], read["checks"]
        for id, line in self.unmet.items():
            assert line["runs"] and set(line["runs"]) <= set(RUNS), f"{path}: {id}: runs are of {RUNS}"
        for id, line in self.checks.items():
            met = line["met"]
            of_each = isinstance(met, dict) and set(met) == set(RUNS) and all(isinstance(it, bool) for it in met.values())
            assert isinstance(met, bool) or of_each, f"{path}: {id}: met is true, false, or one of them for each of {RUNS}"

    def excused(self, run):
        """The required and optimal tests that this run need not meet."""
        return {id for id, line in self.unmet.items() if run in line["runs"]}

    def answers(self, run):
        """Each check test with whether this run meets it."""
        return {id: line["met"][run] if isinstance(line["met"], dict) else line["met"] for id, line in self.checks.items()}


class Unambiguous(yaml.SafeLoader):
    """Refuses a key that is there twice."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"line {node.start_mark.line + 1}: twice in the ledger: {sorted(twice)}"
        return super().construct_mapping(node, deep)
