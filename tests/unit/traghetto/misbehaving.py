"""gRPC servers that do what a client must bear: busy ones, stopping ones, and ones that a call kills."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedReader
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

Context = grpc.ServicerContext
Answer = Callable[[pb.TranslateRequest, Context], pb.TranslateResponse]
_HTTP2_PREFACE_BYTES, _HTTP2_HEADER_BYTES, _HTTP2_HEADERS = 24, 9, 1
_EMPTY_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


class Service(pb_grpc.TranslationServiceServicer):
    """Answers each call with the next of some answers, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.sizes: list[int] = []
        self._answers, self._lock = answers, threading.Lock()

    def Translate(self, request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:  # noqa: N802
        """As the contract has it."""
        with self._lock:
            answer = self._answers[min(len(self.sizes), len(self._answers) - 1)]
            self.sizes.append(len(request.texts))
        return answer(request, context)

    def TranslateStream(self, request_iterator: Any, context: Context) -> Any:  # noqa: N802
        """As of a server that is older than streams."""
        refuse(context, grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        """None: nobody asks for it."""
        return pb.ScoreResponse()

    def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """One model, of which only the name is known."""
        return pb.ListModelsResponse(models=[pb.Model(name="echo")])

    def ListLanguagePairs(  # noqa: N802
        self, request: pb.ListLanguagePairsRequest, context: Context
    ) -> pb.ListLanguagePairsResponse:
        """None."""
        return pb.ListLanguagePairsResponse()

    def ListGlossaries(  # noqa: N802
        self, request: pb.ListGlossariesRequest, context: Context
    ) -> pb.ListGlossariesResponse:
        """One glossary."""
        return pb.ListGlossariesResponse(glossaries=[pb.Glossary(name="legal", num_terms=2)])


def echo(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
    """Each text as its own translation."""
    return pb.TranslateResponse(
        items=[pb.TranslationItem(translation=pb.Translation(text=text)) for text in request.texts]
    )


def refuse(context: Context, code: grpc.StatusCode, message: str, *details: Message) -> NoReturn:
    """End a call as the real server does."""
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


def busy(seconds: float) -> Answer:
    """The queue is full: come back after some time."""
    delay = duration_pb2.Duration(nanos=int(seconds * 1e9) % 10**9, seconds=int(seconds))
    retry = error_details_pb2.RetryInfo(retry_delay=delay)
    return lambda request, context: refuse(
        context, grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry
    )


def stopping(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
    """The server drains."""
    refuse(context, grpc.StatusCode.UNAVAILABLE, "the server is stopping")


@contextmanager
def serving(service: Service, *options: tuple[str, int]) -> Iterator[str]:
    """Serve on a free port, with options of gRPC; gives HOST:PORT."""
    server = grpc.server(ThreadPoolExecutor(16), options=options)
    pb_grpc.add_TranslationServiceServicer_to_server(service, server)
    with _listening(server) as address:
        yield address


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """Answer each call with these bytes, which may be no message; gives HOST:PORT."""
    server = grpc.server(ThreadPoolExecutor(1))
    methods: dict[str, Any] = {"Translate": grpc.unary_unary_rpc_method_handler(lambda _, __: content)}
    name = pb.DESCRIPTOR.services_by_name["TranslationService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    with _listening(server) as address:
        yield address


@contextmanager
def _listening(server: grpc.Server) -> Iterator[str]:
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class Mortal:
    """A server that the first call kills: its connection breaks off, and its port is closed."""

    def __init__(self) -> None:
        self.is_dead = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it if no call did."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _live(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while not self.is_dead:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as stream:
                    connection.sendall(_EMPTY_SETTINGS)
                    self.is_dead = _has_call(stream)
                    if self.is_dead:
                        self._listener.close()  # before the connection, so that nobody comes back here


def _has_call(stream: BufferedReader) -> bool:
    """Read an HTTP/2 connection until a call begins; False if it ends before."""
    stream.read(_HTTP2_PREFACE_BYTES)
    while header := stream.read(_HTTP2_HEADER_BYTES):
        stream.read(int.from_bytes(header[:3], "big"))
        if header[3] == _HTTP2_HEADERS:
            return True
    return False
