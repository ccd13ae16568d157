"""Work in the data directory, done as its owner: root writes nothing where another user might have laid a link."""

import json
import os
import pwd
import sys
from collections.abc import Callable

from appliance.host.errors import HostError
from appliance.host.layout import NAME, Layout


def service_user() -> pwd.struct_passwd | None:
    """The user of the service, once it has been made."""
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return None


def as_owner(layout: Layout, work: Callable[[], int | None]) -> int:
    """The number that `work` gives (0 for none), in a child that is the owner of the data directory and not root.

    Raises HostError (data_directory_unusable) with what `work` raised.
    """
    owner = layout.data.stat()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        told: dict[str, object]
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(owner.st_gid)
                os.setuid(owner.st_uid)
            told = {"result": work() or 0}
        except BaseException as error:  # noqa: BLE001 - told to the parent, which raises it
            told = {"error": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(told).encode())
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = json.loads(pipe.read() or b'{"error": "it died"}')
    os.waitpid(child, 0)
    if "error" in answer:
        hint = "Look at its disk and its permissions."
        raise HostError(f"Work in {layout.data}: {answer['error']}", code="data_directory_unusable", hint=hint)
    return int(answer["result"])
