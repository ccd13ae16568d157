"""Settings from all their sources, all problems reported at once. The only place that reads the environment."""

from appliance.config.settings import Settings
from appliance.config.sources import FAULT_VARIABLE, LoadedSettings, arm_fault, bare_environment, load_settings
from appliance.config.supervisor import Supervisor, supervisor

__all__ = [
    "FAULT_VARIABLE",
    "LoadedSettings",
    "Settings",
    "Supervisor",
    "arm_fault",
    "bare_environment",
    "load_settings",
    "supervisor",
]
