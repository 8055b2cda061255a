import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SCORES = {}


def pytest_terminal_summary(terminalreporter):
    """The score of each run, met tests of all."""
    for run, score in SCORES.items():
        for line in score.lines():
            terminalreporter.write_line(f"{run:8} {line}")
