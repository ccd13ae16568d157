"""`serve`: the HTTP server, until it is told to stop."""

from typing import TYPE_CHECKING

import rich_click as click

from appliance.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from appliance.config import Supervisor
    from appliance.supervision import Notifier


@command("serve", examples=["serve", "serve --port 9000 --data-dir /srv/rag", "serve --config /etc/rag-appliance.yaml"])
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default 8000; 0 takes a free one).")
def serve(invocation: Invocation, host: str | None, port: int | None) -> int:
    """Serve questions, search and ingestion over HTTP.

    The first start prints an admin key on standard error, once. Ctrl-C or SIGTERM stops the server; unfinished
    ingestion goes on at the next start.
    """
    from appliance.config import supervisor
    from appliance.errors import ApplianceError
    from appliance.supervision import Notifier

    above = supervisor()
    notifier = Notifier(above.notify_socket)
    try:
        return _serve(invocation, above, notifier, host, port)
    except KeyboardInterrupt:  # before it took questions: from then on the server itself looks after signals
        return 0
    except ApplianceError as error:
        notifier.tell(f"STATUS=Failed: {error}")
        raise


def _serve(
    invocation: Invocation, above: "Supervisor", notifier: "Notifier", host: str | None, port: int | None
) -> int:
    from appliance.supervision import inherited

    sockets = inherited(above.sockets)
    if sockets:  # the socket's address is in force, whatever the settings say
        host, port = sockets[0].getsockname()[:2]
    loaded = invocation.settings(host=host, port=port)
    settings = loaded.settings

    from appliance import airgap
    from appliance.config import arm_fault
    from appliance.telemetry import log

    log.configure(settings.log_level, settings.log_format, questions=settings.log_questions)
    lock = airgap.enforce(settings.airgap)
    log.get(__name__).info("airgap", filters=lock.filters, landlock=lock.landlock)
    arm_fault(settings.data_dir)
    notifier.starting("loading the program")

    from appliance.app import Appliance
    from appliance.cli.client import announce_first_key
    from appliance.web import serve as serve_http

    with Appliance.open(loaded, purpose="serve", tell=notifier.starting) as appliance:
        announce_first_key(appliance.first_key)
        return serve_http(appliance, notifier, sockets, above.watchdog_s)
