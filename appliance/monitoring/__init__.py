"""Rules, dashboards and a sample configuration for Prometheus and Grafana, as files to be taken along."""

from appliance.monitoring.alerts import Alert, alerts
from appliance.monitoring.export import Exported, check, export

__all__ = ["Alert", "Exported", "alerts", "check", "export"]
