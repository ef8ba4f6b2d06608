"""What traghetto-translate says of a translation, beside its text."""

from __future__ import annotations

from traghetto import TextWarning


def told(warning: TextWarning) -> str:
    """A warning on one line: its reason, and the piece of text it is about."""
    reason = warning.reason.replace("_", " ")
    return f"{reason}: {warning.text!r}" if warning.text else reason
