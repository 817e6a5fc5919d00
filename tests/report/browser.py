"""A page in headless Chromium: its console, how wide it is, and what it looks like."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
# The page in a frame of its own width: a window has a least width of its own, and a page that
# stands in the attribute is of the same origin, so that it can be measured.
PROBE = """<!doctype html>
<iframe id="page" style="border:0" width="{width}" height="800" srcdoc="{page}"></iframe>
<pre id="found"></pre>
<script>
  onload = () => {{
    const page = document.getElementById("page").contentDocument;
    const root = page.documentElement;
    const outside = [...page.querySelectorAll("body *")].filter(
      (one) => !one.closest(".scroll, svg") && one.getBoundingClientRect().right > {width} + 1);
    document.getElementById("found").textContent = JSON.stringify({{
      width: root.scrollWidth,
      outside: outside.map((one) => one.tagName + " " + one.className),
      alerts: window.alerts || 0,
      pictures: [...page.querySelectorAll("figure")].map(
        (one) => [...one.querySelectorAll("svg")].filter((svg) => svg.clientWidth > 0).length),
      ink: page.defaultView.getComputedStyle(page.body).color,
      paper: page.defaultView.getComputedStyle(page.body).backgroundColor,
    }});
  }};
</script>
"""


def chromium() -> str:
    """The browser; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("there is no Chromium; install it with: apt-get install chromium")
    raise AssertionError


def run(folder: Path, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page with an empty profile."""
    command = [chromium(), *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def console(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the page wrote to its console."""
    return [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def measure(folder: Path, text: str, width: int, *, dark: bool) -> dict:
    """What a page of that width looks like from outside."""
    probe = folder / f"probe-{width}-{dark}.html"
    probe.write_text(PROBE.format(width=width, page=html.escape(text)), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = run(folder, probe, "--dump-dom", "--window-size=1600,1000", scheme)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    return json.loads(html.unescape(found.group(1))) | {"console": console(done)}
