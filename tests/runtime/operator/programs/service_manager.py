"""A service manager's end of the notification socket, in a process of its own.

    service_manager.py SOCKET SECONDS

Prints ``listening``, then a line of JSON per datagram: when it came, and what it said. Ends after so many seconds
without one.
"""

from __future__ import annotations

import json
import socket
import sys
import time


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    address, patience = sys.argv[1], float(sys.argv[2])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        manager.settimeout(patience)
        say("listening")
        while True:
            try:
                message = manager.recv(4096).decode()
            except TimeoutError:
                return
            say(json.dumps({"at_ns": time.monotonic_ns(), "lines": message.split("\n")}))
            if message == "STOPPING=1":
                return


main()
