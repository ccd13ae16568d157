"""Nothing leaves this host: the serving process gives up every way to open a connection, and shows that it has.

`enforce` puts the kernel's locks in force, `attempts` tries every way out and tells how each was refused, and
`connections` lists what is open.
"""

from appliance.airgap.connections import Connection, connections
from appliance.airgap.lock import Lock, enforce, in_force
from appliance.airgap.senders import telemetry_senders
from appliance.airgap.trial import Attempt, attempts

__all__ = ["Attempt", "Connection", "Lock", "attempts", "connections", "enforce", "in_force", "telemetry_senders"]
