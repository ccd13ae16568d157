"""A change of a collection's embedding model, blue/green: embed beside, compare, switch or refuse, roll back."""

from appliance.reembed.spec import AskedQuestion, ChangeSpec, ChangeStatus
from appliance.reembed.worker import Reembedding

__all__ = ["AskedQuestion", "ChangeSpec", "ChangeStatus", "Reembedding"]
