"""Imported once by the server that forks the callers, so that each of them starts at once."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

import celery  # noqa: E402, F401
import psycopg  # noqa: E402, F401
import pytest  # noqa: E402, F401
import redis  # noqa: E402, F401

import oauth_tokens.tasks  # noqa: E402
import oauth_tokens.transport  # noqa: E402, F401
import tests.support.fault_callers  # noqa: E402, F401
