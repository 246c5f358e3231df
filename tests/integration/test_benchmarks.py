"""The benchmarks run, and what they say of correctness holds however slow the machine is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_quick_run_shows_who_keeps_the_grant() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "TEST_", "REDIS_", "DATABASE_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "hot", "refresh", "correctness", "--quick"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = dict(re.findall(r"^(\S.*?) {2,}(\d+ +\S.*)$", done.stdout, re.MULTILINE))
    assert rows["oauth_tokens"].split() == ["1", "0", "kept"]
    assert rows["requests-oauthlib, plain model"].split() == ["16", "15", "lost"]
