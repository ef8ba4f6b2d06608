"""The client of Traghetto, a translation service: texts in, translations out, in order.

    from traghetto import Client

    with Client("127.0.0.1:50051") as client:
        for result in client.translate(["Good morning!"], "en", "it"):
            print(result.text)

`AsyncClient` has the same methods for asyncio. Options and results are frozen dataclasses; `traghetto.errors`
draws the tree of what may be raised.
"""

from traghetto.async_client import AsyncClient
from traghetto.errors import (
    CallError,
    DeadlineExceeded,
    InvalidArgument,
    InvalidText,
    MessageTooLarge,
    NotServed,
    QuotaExceeded,
    ServerBusy,
    ServerFault,
    ServerUnavailable,
    TlsError,
    TokenError,
    TraghettoError,
    Violation,
)
from traghetto.options import AttentionOptions, ContrastiveSearch, GlossaryTerm, Sampling, TranslateOptions
from traghetto.results import (
    Attention,
    AttentionLayers,
    DetectedLanguage,
    Hypothesis,
    LanguagePair,
    ModelDescription,
    ModelReference,
    Result,
    Score,
    Segment,
    ServedLanguagePair,
    StopReason,
    TextError,
    TextWarning,
    Translation,
    UsedTerm,
    WarningReason,
)
from traghetto.sync_client import Client
from traghetto.tls import Tls
from traghetto.version import __version__

__all__ = [
    "AsyncClient",
    "Attention",
    "AttentionLayers",
    "AttentionOptions",
    "CallError",
    "Client",
    "ContrastiveSearch",
    "DeadlineExceeded",
    "DetectedLanguage",
    "GlossaryTerm",
    "Hypothesis",
    "InvalidArgument",
    "InvalidText",
    "LanguagePair",
    "MessageTooLarge",
    "ModelDescription",
    "ModelReference",
    "NotServed",
    "QuotaExceeded",
    "Result",
    "Sampling",
    "Score",
    "Segment",
    "ServedLanguagePair",
    "ServerBusy",
    "ServerFault",
    "ServerUnavailable",
    "StopReason",
    "TextError",
    "TextWarning",
    "Tls",
    "TlsError",
    "TokenError",
    "TraghettoError",
    "TranslateOptions",
    "Translation",
    "UsedTerm",
    "Violation",
    "WarningReason",
    "__version__",
]
