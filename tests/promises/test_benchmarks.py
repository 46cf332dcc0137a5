"""The benchmarks keep working while what they measure changes."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness.cloud import ROOT


def test_ratios_are_printed_and_written(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--database", "sqlite"]
    small = ["--rows", "200", "--repeats", "1", "--write", str(results)]

    printed = subprocess.check_output([*command, *small], cwd=ROOT, text=True)

    ratios = json.loads(results.read_text())["ratios"]
    assert len(ratios) == 3
    assert all(ratio["name"] in printed and ratio["ratio"] > 0 for ratio in ratios)


def test_every_correction_is_measured_beside_the_server(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--database", "sqlite"]
    small = ["--rows", "200", "--repeats", "1", "--write", str(results)]

    subprocess.check_output([*command, *small, "--mending", ""], cwd=ROOT, text=True)

    ratios = json.loads(results.read_text())["ratios"]
    assert {ratio["name"]: ratio["rows"] for ratio in ratios} == {
        "correct flags": 50,
        "correct users": 50,
        "correct filled": 50,
        "correct moved": 50,
        "correct orphans": 50,
        "correct downgrade": 200,
        "correct merge": 200,
    }
