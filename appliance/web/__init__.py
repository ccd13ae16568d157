"""The web: the only package that knows Litestar. `create_app` makes the application, `serve` runs it."""

from appliance.web.application import create_app
from appliance.web.server import serve

__all__ = ["create_app", "serve"]
