"""One value of one metric that was looked up."""

from appliance.telemetry.exposition import Labels, Sampled

Reading = tuple[Sampled, Labels, float]
