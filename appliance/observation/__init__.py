"""What the parts say of themselves when somebody asks for the metrics: looked up at most every few seconds."""

from appliance.observation.observer import Observer

__all__ = ["Observer"]
