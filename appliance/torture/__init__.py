"""Kills a real server hundreds of times while it works, and checks after each start that nothing acknowledged is lost.

`doctor --torture DIR` runs it. The server is a process of its own on data of its own; everything goes over HTTP.
"""

from appliance.torture.directory import claim
from appliance.torture.report import Report
from appliance.torture.run import Options, torture

__all__ = ["Options", "Report", "claim", "torture"]
