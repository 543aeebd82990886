"""Workers of a supervisor that serve nothing."""

import os
import signal
import time

from serving.server.channel import Channel


def obedient(number, folder, connection):
    """Be ready; write down each look at items, and tell of changed ones when there is the file `change` of the number.

    With the file `die` of the number end at once, and delete it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel, looks = Channel(connection), folder / f"looks {number}"
    channel.on_items = lambda: looks.write_text(looks.read_text() + "x" if looks.exists() else "x")
    (folder / f"process {number} {os.getpid()}").touch()
    channel.ready("a version")
    while True:
        time.sleep(0.01)
        for name in ("change", "die"):
            file = folder / f"{name} {number}"
            if file.exists():
                file.unlink()
                channel.items() if name == "change" else os._exit(3)


def refusing(number, folder, connection):
    """Tell an error and end."""
    channel = Channel(connection)
    channel.failed("the release is damaged", 2)


def dying(number, folder, connection):
    """End without a word."""
    with open(folder / "attempts", "a") as attempts:
        attempts.write("x")
    os._exit(5)
