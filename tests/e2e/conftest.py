"""The processes of :mod:`tests.e2e.site`, shared by all modules of a run."""

from __future__ import annotations

from tests.e2e.site import fixtures

processes_of_the_cast, cast, alice = fixtures.processes_of_the_cast, fixtures.cast, fixtures.alice
