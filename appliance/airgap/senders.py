"""Packages that are known to send usage data, or to fetch from elsewhere: none has a place in this process."""

import sys

_SENDERS = frozenset(
    {"posthog", "sentry_sdk", "mixpanel", "segment", "amplitude", "scarf", "huggingface_hub", "transformers"}
    | {"datasets", "opentelemetry.exporter", "google.cloud", "boto3", "azure", "datadog", "newrelic", "nltk"}
)


def telemetry_senders() -> list[str]:
    """Those that are loaded here."""
    return sorted(_SENDERS & sys.modules.keys())
