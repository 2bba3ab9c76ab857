"""Photograph the first screen of the tutorial's report for the README: `make picture`.

Needs Chromium; the page is the one that `make demo` writes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "tutorial-report.html"
PICTURE = Path(__file__).parent / "images" / "report-first-screen.png"
SIZE = "1060,760"


def main() -> int:
    """Open the page in headless Chromium and keep what fits on one screen."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None or not PAGE.exists():
        print("install chromium, and run make demo first", file=sys.stderr)
        return 1
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command = [browser, *options, f"--window-size={SIZE}", f"--screenshot={PICTURE}", PAGE.as_uri()]
    return subprocess.run(command, check=False, capture_output=True).returncode


if __name__ == "__main__":
    sys.exit(main())
