"""Telemetry: every metric, declared once, and the structured log with redaction."""
