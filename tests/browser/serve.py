"""One site in a process of its own, until its standard input closes.

``python -m tests.browser.serve SETTINGS PORT [COMMAND ...]`` runs the management commands and
serves the site with its static files. The line that it prints says that it answers, and holds its
``OAUTH_TOKENS`` as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = sys.argv[1]
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.contenttypes.models import ContentType
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.management import call_command
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.signals import request_started
    from django.core.wsgi import get_wsgi_application
    from django.urls import get_resolver

    get_resolver().check()  # what cannot be imported says so now
    for command in sys.argv[3:]:
        call_command(command, stdout=sys.stderr)
    # Tables are emptied between two tests, and content types get other numbers.
    request_started.connect(lambda **_: ContentType.objects.clear_cache(), weak=False)
    server = ThreadedWSGIServer(("127.0.0.1", int(sys.argv[2])), WSGIRequestHandler)
    server.daemon_threads = True
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(getattr(settings, "OAUTH_TOKENS", {})), flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
