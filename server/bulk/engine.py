"""A model in this process that translates the texts of blocks: what a server runs, without its ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

from server.api.service import TranslationService
from server.bulk.blocks import BulkError, Outcome
from server.config import ServerConfig
from server.models.serving import ServedModels
from server.telemetry.call import Call
from server.telemetry.metrics import Metrics
from traghetto.pb.translation.v1 import translation_pb2 as pb

_TEXTS_PER_MESSAGE = 64


class BulkEngine:
    """Translates lists of texts as a stream of the service would; of one thread.

    Args:
        artifact: Folder of the model.
        config: Languages and options of all texts, as serialized `TranslateRequest`.
        device: cpu or cuda.
        is_loaded: Whether the model is loaded now, rather than for the first text.

    Raises:
        ArtifactError, DeviceError, ModelMemoryFull, PoolsTooLarge, ServerConfigError, TokenizerError: the
            artifact cannot be served.
    """

    def __init__(self, artifact: Path, config: bytes, device: str, *, is_loaded: bool = True) -> None:
        # A processor is all that it has: its neighbours have theirs.
        server_config = ServerConfig(
            artifacts=(artifact,),
            device=device,
            runners=1,
            lone_threads=1,
            load="start" if is_loaded else "on-demand",
        )
        self._config = pb.TranslateRequest.FromString(config)
        metrics = Metrics()
        self._runner = asyncio.Runner()
        self._served = ServedModels(server_config, metrics)
        self._service = TranslationService(self._served, server_config, metrics)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._served.drain()
        self._runner.run(self._served.stop())
        self._runner.close()

    @property
    def model_sha256(self) -> str:
        """Of the artifact."""
        return self._served.current.in_order[0].sha256

    def translate(self, texts: Sequence[str]) -> list[Outcome]:
        """What becomes of each text.

        Raises:
            RequestError: the languages or the options are none of the model's.
            BulkError: the model serves no more.
        """
        outcomes: dict[int, Outcome] = {}

        async def write(message: pb.TranslateStreamResponse) -> None:
            items = message.response.items
            outcomes.update((i, _outcome(item)) for i, item in zip(message.ids, items, strict=True))

        call = Call("bulk", "bulk", "bulk", is_stream=True)
        self._runner.run(self._service.stream(self._messages(texts), write, call))
        for name, failure in self._served.failures.items():
            raise BulkError(f"model {name} has failed: {failure}")
        return [outcomes[i] for i in range(len(texts))]

    async def _messages(self, texts: Sequence[str]) -> AsyncIterator[pb.TranslateStreamRequest]:
        yield pb.TranslateStreamRequest(config=self._config)
        for first in range(0, len(texts), _TEXTS_PER_MESSAGE):
            part = enumerate(texts[first : first + _TEXTS_PER_MESSAGE], first)
            yield pb.TranslateStreamRequest(texts=[pb.StreamText(id=i, text=text) for i, text in part])


def _outcome(item: pb.TranslationItem) -> Outcome:
    if item.HasField("error"):
        return Outcome(error=item.error.message)
    translation = item.translation
    warnings = [_told(warning) for warning in translation.warnings]
    if translation.stop_reason == pb.STOP_REASON_MAX_TARGET_TOKENS:
        warnings.append("cut short at the limit on target tokens")
    return Outcome(translation=translation.text, warnings="; ".join(warnings) or None)


def _told(warning: pb.Warning) -> str:
    name = pb.WarningReason.Name(warning.reason).removeprefix("WARNING_REASON_").lower().replace("_", " ")
    return f"{name}: {warning.text!r}" if warning.text else name
