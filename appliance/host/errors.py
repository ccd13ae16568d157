"""What can go wrong on the host, each with a code of its own."""

from appliance.errors import ApplianceError


class HostError(ApplianceError):
    """The host is not as it must be, or does not do what it is told."""

    default_code = "host_unusable"
