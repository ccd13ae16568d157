"""rag-appliance: answers questions from a host's own documents, with exact citations, in one offline process."""

import os

__version__ = "0.1.0"

# Without it onnxruntime leaves a device id in the user's cache and reports to its maker from the first model on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
