"""Hold connections that send nothing: `python -m bench.idle PORT COUNT [tls]`. Prints "held" and waits for its end."""

from __future__ import annotations

import socket
import ssl
import sys


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    context = None
    if "tls" in sys.argv:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    held = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        held.append(context.wrap_socket(connection) if context else connection)
    print("held", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
