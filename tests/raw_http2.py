"""HTTP/2 by hand (RFC 9113), for what no library would send."""

from __future__ import annotations

import socket
import struct

TRANSLATE = "/translation.v1.TranslationService/Translate"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 1, 3, 4, 7
_ACK, _END_HEADERS = 1, 4
_CANCEL = struct.pack(">I", 8)
_AT_ONCE = 500


class RawConnection:
    """One connection, with its preface and settings done."""

    def __init__(self, address: str, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        host, port = address.split(":")
        self.connection = socket.create_connection((host, int(port)), patience_seconds)
        self.connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0))
        self.connection.recv(1 << 16)  # the server's settings; before they are acknowledged it is careful
        self.connection.sendall(_frame(_SETTINGS, _ACK, 0))
        self._headers, self._next_stream = _header_block(TRANSLATE), 1

    def leave(self, word: str) -> None:
        """End the connection with a text for whoever looks into it, and wait until the server has."""
        too_many = _frame(_GOAWAY, 0, 0, struct.pack(">II", 0, 11) + word.encode())
        self.connection.sendall(too_many)
        self.connection.shutdown(socket.SHUT_WR)
        while self.connection.recv(1 << 16):
            pass
        self.connection.close()

    def send_cancelled_calls(self) -> None:
        """Some hundreds of calls, each begun and cancelled.

        Raises:
            OSError: the server has closed the connection.
        """
        streams = range(self._next_stream, self._next_stream + 2 * _AT_ONCE, 2)
        self._next_stream = streams.stop
        self.connection.sendall(b"".join(map(self._call, streams)))
        self.connection.setblocking(False)
        try:
            while self.connection.recv(1 << 16):
                pass  # refusals: whoever does not read them is not read from either
        except BlockingIOError:
            return
        finally:
            self.connection.settimeout(self._patience_seconds)
        raise ConnectionResetError("closed by the server")

    def _call(self, stream: int) -> bytes:
        begin = _frame(_HEADERS, _END_HEADERS, stream, self._headers)
        return begin + _frame(_RST_STREAM, 0, stream, _CANCEL)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _header_block(path: str) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in headers.items())


def _string(value: str) -> bytes:
    """A literal of HPACK without Huffman's code (RFC 7541, section 6.2.2); none of ours is longer."""
    assert len(value) < 127
    return bytes((len(value),)) + value.encode()
