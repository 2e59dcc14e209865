"""Exported files of tools that trace assistants, as responses joined from their spans, and users' feedback."""

from monitor.ingest.files.reading import FORMS, Form, Traffic, read_traffic

__all__ = ["FORMS", "Form", "Traffic", "read_traffic"]
