"""The service as a supervisor sees it: readiness and state told, a watchdog fed, sockets taken over."""

from appliance.supervision.notify import Notifier
from appliance.supervision.sockets import inherited
from appliance.supervision.watchdog import Watchdog

__all__ = ["Notifier", "Watchdog", "inherited"]
