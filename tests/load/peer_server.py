"""The peer behind gRPC: CTranslate2 int8 with our contract, our tokenizer and a batcher of its own.

As thin as the contract allows, and thinner than ours: no metrics, no queue limit, no deadlines, no scores. It
is for measurements and knows one model, greedy search and well-formed requests.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

import ctranslate2
import grpc

from model.text.sentencepiece_tokenizer import END_ID
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer
from tests.load.peer_batchers import BATCHERS, Batcher, PeerConfig
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

_VOCABULARY_MAP = "vmap.txt"  # CTranslate2's own name for it
Context = grpc.aio.ServicerContext[pb.TranslateRequest, pb.TranslateResponse]


class PeerService(pb_grpc.TranslationServiceServicer):
    """Tokenizes, waits for the batcher, detokenizes."""

    def __init__(self, tokenizer: Tokenizer, batcher: Batcher) -> None:
        self._tokenizer, self._batcher = tokenizer, batcher
        self._pieces = [tokenizer.piece(i) for i in range(tokenizer.size)]
        self._ids = {piece: i for i, piece in enumerate(self._pieces)}

    async def Translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:  # noqa: N802
        """Translate every text of a call, each as a request of its own."""
        if request.options.beam_size != 1 or request.options.max_target_tokens < 1:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "must ask for beam_size 1 and a max_target_tokens"
            )
        jobs = (self._item(text, request) for text in request.texts)
        return pb.TranslateResponse(items=await asyncio.gather(*jobs))

    async def TranslateStream(  # type: ignore[override]  # noqa: N802
        self, request_iterator: object, context: Context
    ) -> None:
        """None: nobody asks for it."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "there are no streams")

    async def Score(self, request: pb.ScoreRequest, context: object) -> pb.ScoreResponse:  # noqa: N802
        """None: nobody asks for it."""
        return pb.ScoreResponse()

    async def ListModels(self, request: pb.ListModelsRequest, context: object) -> pb.ListModelsResponse:  # noqa: N802
        """None: nobody asks the peer."""
        return pb.ListModelsResponse()

    async def ListLanguagePairs(  # noqa: N802
        self, request: pb.ListLanguagePairsRequest, context: object
    ) -> pb.ListLanguagePairsResponse:
        """None: nobody asks the peer."""
        return pb.ListLanguagePairsResponse()

    async def ListGlossaries(  # noqa: N802
        self, request: pb.ListGlossariesRequest, context: object
    ) -> pb.ListGlossariesResponse:
        """None: nobody asks the peer."""
        return pb.ListGlossariesResponse()

    async def _item(self, text: str, request: pb.TranslateRequest) -> pb.TranslationItem:
        source = [self._pieces[i] for i in self._tokenizer.encode_source(text, request.target_language)]
        target = await self._batcher.translate(source, request.options.max_target_tokens)
        ids = [self._ids[piece] for piece in target]
        is_whole = ids[-1:] == [END_ID]
        hypothesis = pb.Hypothesis(
            text=self._tokenizer.detokenize(ids),
            stop_reason=pb.STOP_REASON_END_OF_SENTENCE if is_whole else pb.STOP_REASON_MAX_TARGET_TOKENS,
            target_tokens=len(ids),
        )
        return pb.TranslationItem(
            translation=pb.Translation(
                text=hypothesis.text,
                hypotheses=[hypothesis],
                stop_reason=hypothesis.stop_reason,
                source_tokens=len(source),
                target_tokens=hypothesis.target_tokens,
            )
        )


async def _serve(arguments: argparse.Namespace) -> None:
    config = PeerConfig(
        num_replicas=arguments.replicas,
        window_seconds=arguments.window_milliseconds / 1000,
        max_batch_tokens=arguments.max_batch_tokens,
        num_ahead=arguments.ahead,
        has_vocabulary_map=(arguments.model / _VOCABULARY_MAP).is_file(),
    )
    translator = ctranslate2.Translator(
        str(arguments.model),
        compute_type="int8",
        inter_threads=config.num_replicas,
        intra_threads=1,
        max_queued_batches=-1,  # a full queue would block the event loop
    )
    batcher: Batcher = BATCHERS[arguments.batcher](translator, config)
    batcher.start()
    server = grpc.aio.server()
    service = PeerService(load_tokenizer(arguments.tokenizer), batcher)
    pb_grpc.add_TranslationServiceServicer_to_server(service, server)
    host = arguments.listen.rpartition(":")[0]
    port = server.add_insecure_port(arguments.listen)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await server.start()
    print(f"peer ready: grpc={host}:{port} batcher={arguments.batcher} {config}", flush=True)
    await stopping.wait()
    await server.stop(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="CTranslate2 folder")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of our tokenizer's file")
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--batcher", choices=BATCHERS, default="window")
    parser.add_argument("--replicas", type=int, default=os.cpu_count())
    parser.add_argument("--window-milliseconds", type=float, default=1000 * PeerConfig.window_seconds)
    parser.add_argument("--max-batch-tokens", type=int, default=PeerConfig.max_batch_tokens)
    parser.add_argument("--ahead", type=int, default=PeerConfig.num_ahead)
    return parser


if __name__ == "__main__":
    asyncio.run(_serve(_parser().parse_args()))
