"""One process of the stampede: many threads that ask for the same token at the same time.

Reads the time at which to begin from standard input, a line per round, and answers each with a
line of JSON: when each thread was served, by the wall clock, and how many tokens they got.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import django


def main() -> None:
    django.setup()
    from django.contrib.auth import get_user_model
    from django.db import connection

    user_id, threads = map(int, sys.argv[1:])
    user = get_user_model()._default_manager.get(pk=user_id)
    ready = Barrier(threads)

    def warm_up(_: int) -> None:
        connection.ensure_connection()
        user.oauth_tokens.get_valid("acme")
        ready.wait()  # so that each thread of the pool takes one

    def call(begin: float) -> tuple[float, str]:
        ready.wait()
        time.sleep(max(0.0, begin - time.time()))
        try:
            token: Any = user.oauth_tokens.get_valid("acme")
        except Exception as error:  # noqa: BLE001 - counted as not served
            return time.time(), type(error).__name__
        return time.time(), token.access_token

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(warm_up, range(threads)))
        print(flush=True)
        for line in sys.stdin:
            print(json.dumps(list(pool.map(call, [float(line)] * threads))), flush=True)


if __name__ == "__main__":
    main()
