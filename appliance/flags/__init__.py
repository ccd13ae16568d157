"""Flags: what may be switched while the appliance runs, for all collections or for one."""

from appliance.flags.canary import Canary
from appliance.flags.live import FlagState, LiveFlags
from appliance.flags.registry import FLAGS, Flag, flag, of_settings

__all__ = ["FLAGS", "Canary", "Flag", "FlagState", "LiveFlags", "flag", "of_settings"]
