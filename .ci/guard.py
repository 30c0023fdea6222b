"""Fail where a short run of `learn` shows that learning or accounting broke; the real bars need longer runs.

Usage: python guard.py FIGURES.json
"""

import json
import sys
from pathlib import Path

# One run of 800 requests has a standard error of about 2.5 points.
BOUNDS = {
    "errors": (0.0, 0.0),
    "underreported_answers": (0.0, 0.0),
    "background_share": (0.0, 0.12),
    "spent_over_budget": (0.85, 1.1),
    "points_over_interpolation": (-5.0, 100.0),
}


def main() -> None:
    """Print every figure beside its bounds."""
    figures = json.loads(Path(sys.argv[1]).read_text())["mean"]
    held = {name: low <= figures[name] <= high for name, (low, high) in BOUNDS.items()}
    for name, (low, high) in BOUNDS.items():
        said = "holds" if held[name] else "IS BROKEN"
        sys.stdout.write(f"learn, short: {name} = {figures[name]} ({low}..{high}) {said}\n")
    sys.exit(not all(held.values()))


if __name__ == "__main__":
    main()
