"""Exit 0 when an address of this container answers 200: `healthcheck.py [URL]`, by default the API's."""

from __future__ import annotations

import sys
from urllib.error import URLError
from urllib.request import urlopen

DEFAULT = "http://127.0.0.1:8321/healthz"


def main(arguments: list[str]) -> int:
    url = arguments[0] if arguments else DEFAULT
    if not url.startswith("http://127.0.0.1:"):
        sys.stderr.write(f"{url}: only this container's own address is asked\n")
        return 2
    try:
        with urlopen(url, timeout=4) as answer:  # noqa: S310 -- the loopback address above
            return 0 if answer.status == 200 else 1
    except (URLError, OSError) as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
