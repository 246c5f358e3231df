"""The site of the browser tests without templates of its own: the pages as the app ships them."""

from __future__ import annotations

from tests.browser.site_settings import *  # noqa: F403
from tests.browser.site_settings import TEMPLATES

TEMPLATES[0]["DIRS"] = []
