"""Draw the results that were written as JSON.

``python -m benchmarks.chart RESULTS.json CHART.svg``
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.copying import UPGRADE
from benchmarks.report import NAMES

COLOURS = {
    "mysql": "#1b7a8c",
    "mysql9": "#b3701f",
    "postgresql": "#33588f",
    "sqlite": "#8a8f98",
}


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw how many times as fast an upgrade is as each of its peers."""
    # Else each run writes other names into the file.
    mpl.rcParams["svg.hashsalt"] = "cellmap"
    speeds = [ratio for ratio in found["ratios"] if ratio["name"] == UPGRADE]
    speeds.sort(key=lambda ratio: ratio["ratio"], reverse=True)
    figure = Figure(figsize=(8, 0.9 + 0.45 * len(speeds)), layout="constrained")
    axes = figure.subplots()
    ratios = [ratio["ratio"] for ratio in speeds]
    # From 1 to the ratio: a logarithmic axis has no zero to start from.
    axes.barh(
        [f"{ratio['beside']}, {NAMES[ratio['database']]}" for ratio in speeds],
        [ratio - 1 for ratio in ratios],
        left=1,
        color=[COLOURS[ratio["database"]] for ratio in speeds],
    )
    for height, ratio in enumerate(ratios):
        axes.text(max(1, ratio) * 1.1, height, f"{ratio:,.3g}", va="center")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(*ratios, 0.5) / 1.5, max(ratios) * 2.5)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    rows = speeds[0]["rows"]
    axes.set_xlabel(f"times the speed of the peer, {rows:,} instances")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
