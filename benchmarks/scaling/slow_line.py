"""A line between a site and its coordinator that is slow, far and lossy, and that can be cut.

A relay on the loopback interface, because the kernel's own (`tc netem`) needs rights and a module that few machines
give. Each direction has a rate; every byte arrives half a round trip late; and a lost segment holds up everything
behind it for one more round trip, as TCP's fast retransmission does. What a relay cannot imitate is a sender that
slows down for losses: a real line with as many of them carries less.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from dataclasses import dataclass

CHUNK, SEGMENT = 16 * 1024, 1460
#: Chunks that a direction holds at most: the sender waits, as it does for a full window.
WINDOW = 32
START_SECONDS = 10.0


@dataclass(frozen=True)
class Quality:
    """Of a line.

    Attributes:
        bits_per_second: each way.
        round_trip: seconds.
        loss: share of segments.
    """

    bits_per_second: float
    round_trip: float
    loss: float


class SlowLine:
    """Relays every connection to `port` of this machine, from a port of its own, until closed.

    Args:
        port: the server's.
        quality: of the line; all connections share its rate.
        seed: of the losses.

    Attributes:
        port: where a site connects.
        down, up: bytes that were carried to and from the site.
    """

    def __init__(self, port: int, quality: Quality, seed: int) -> None:
        self._target, self._quality, self._random = port, quality, random.Random(seed)
        self.down = self.up = 0
        self._free_at = {"down": 0.0, "up": 0.0}
        self._writers: set[asyncio.StreamWriter] = set()
        self._closed_until = 0.0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        threading.Thread(target=self._run, name="slow line", daemon=True).start()
        if not self._ready.wait(START_SECONDS):
            raise RuntimeError("the relay did not start")

    def cut(self, seconds: float) -> None:
        """End all connections at once, and take none for so long."""
        self._loop.call_soon_threadsafe(self._cut, seconds)

    def close(self) -> None:
        """Relay no more."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _cut(self, seconds: float) -> None:
        self._closed_until = self._loop.time() + seconds
        for writer in tuple(self._writers):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._loop.time() < self._closed_until:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._carry(reader, there_writer, "up"), self._carry(there_reader, writer, "down")
            )
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW)
        await asyncio.gather(self._send(reader, waiting, way), self._arrive(waiting, writer, way))

    async def _send(
        self, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]], way: str
    ) -> None:
        arrives = 0.0
        data = b"first"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            sent = max(self._loop.time(), self._free_at[way]) + 8 * len(data) / self._quality.bits_per_second
            self._free_at[way] = sent
            lost = any(self._random.random() < self._quality.loss for _ in range(0, len(data), SEGMENT))
            late = self._quality.round_trip * (1.5 if lost else 0.5)
            arrives = max(arrives, sent + late)
            await waiting.put((arrives, data))

    async def _arrive(
        self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, way: str
    ) -> None:
        while True:
            arrives, data = await waiting.get()
            await asyncio.sleep(max(0.0, arrives - self._loop.time()))
            if not data or writer.transport.is_closing():
                with contextlib.suppress(OSError, RuntimeError):
                    writer.write_eof()
                if writer.transport.is_closing() and data:
                    # Keep taking what the other side still sends, so that it is not held up.
                    continue
                return
            setattr(self, way, getattr(self, way) + len(data))
            writer.write(data)
            with contextlib.suppress(OSError):
                await writer.drain()
