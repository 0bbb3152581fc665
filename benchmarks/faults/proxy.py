"""Stands between daemon and broker, and can stop to forward without closing anything."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

_PUBACK = 4

Forward = Callable[[bytes], bytes]


class Proxy:
    """A TCP relay. ``freeze`` hurts the connections that there are, and new ones until ``heal``; a frozen
    connection stays so for ever, as the far end of a machine that lost its power does."""

    def __init__(self, host: str, port: int) -> None:
        self.fault: str | None = None
        """None, "silent", "deaf" (nothing reaches the broker), "mute" (nothing comes from it), or
        "unacknowledged" (all but its acknowledgements)."""
        self._target = (host, port)
        self._listener = socket.create_server((host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[_Pair] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self, fault: str) -> None:
        self.fault = fault
        for pair in self._pairs:
            pair.fault = fault

    def heal(self) -> None:
        """For connections that are made from now on."""
        self.fault = None

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            pair.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                self._pairs.append(_Pair(near, far, self.fault))


class _Pair:
    def __init__(self, near: socket.socket, far: socket.socket, fault: str | None) -> None:
        self.fault = fault
        self._sockets = (near, far)
        self._packets = Packets()
        for arguments in ((near, far, self._to_broker), (far, near, self._from_broker)):
            threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def close(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _to_broker(self, data: bytes) -> bytes:
        return b"" if self.fault in ("silent", "deaf") else data

    def _from_broker(self, data: bytes) -> bytes:
        packets = self._packets.whole(data)
        if self.fault in ("silent", "mute"):
            return b""
        if self.fault == "unacknowledged":
            packets = [packet for packet in packets if packet[0] >> 4 != _PUBACK]
        return b"".join(packets)

    def _pump(self, source: socket.socket, sink: socket.socket, forward: Forward) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if passed := forward(data):
                    sink.sendall(passed)
        if self.fault is None:
            self.close()


class Packets:
    """Cuts a stream into MQTT packets: a byte, a length of one to four bytes, and so many bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def whole(self, data: bytes) -> list[bytes]:
        """The packets that are complete by now."""
        self._rest += data
        packets = []
        while (size := _size(self._rest)) is not None and size <= len(self._rest):
            packets.append(self._rest[:size])
            self._rest = self._rest[size:]
        return packets


def _size(data: bytes) -> int | None:
    length = 0
    for place, byte in enumerate(data[1:5]):
        length |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return 2 + place + length
    return None
