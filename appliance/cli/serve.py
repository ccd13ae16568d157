"""`serve`: the HTTP server, until it is told to stop."""

import rich_click as click

from appliance.cli.invocation import Invocation, command


@command("serve", examples=["serve", "serve --port 9000 --data-dir /srv/rag", "serve --config /etc/rag-appliance.yaml"])
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=int, help="Port to listen on (default 8000; 0 takes a free one).")
def serve(invocation: Invocation, host: str | None, port: int | None) -> int:
    """Serve questions, search and ingestion over HTTP.

    The first start prints an admin key on standard error, once. Ctrl-C or SIGTERM stops the server; unfinished
    ingestion goes on at the next start.
    """
    loaded = invocation.settings(host=host, port=port)

    from appliance.app import Appliance
    from appliance.cli.client import announce_first_key
    from appliance.config import arm_fault
    from appliance.telemetry import log
    from appliance.web import serve as serve_http

    settings = loaded.settings
    log.configure(settings.log_level, settings.log_format, questions=settings.log_questions)
    arm_fault(settings.data_dir)
    with Appliance.open(loaded, purpose="serve") as appliance:
        announce_first_key(appliance.first_key)
        return serve_http(appliance)
