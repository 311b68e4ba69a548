"""A client that sends many requests at once: follows 307, and notes status, body and time of each."""

import asyncio
import http.client
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """What became of one request."""

    status: int
    body: bytes
    address: str
    seconds: float


async def run_all(url: str, bodies: list[bytes]) -> list[Asked]:
    """Send all requests at once."""
    return list(await asyncio.gather(*(_run(url, body) for body in bodies)))


async def open_loop(url: str, *, rate_per_second: float, seconds: float) -> list[Asked]:
    """Send requests at a rate, however long the answers take; each has a body of its own."""
    tasks, began_at = [], time.monotonic()
    for number in range(int(rate_per_second * seconds)):
        await asyncio.sleep(max(0.0, began_at + number / rate_per_second - time.monotonic()))
        tasks.append(asyncio.ensure_future(_run(url, b"%d" % number)))
    return list(await asyncio.gather(*tasks))


def keep_alive_seconds(url: str, body: bytes) -> Iterator[float]:
    """Yield how long one request after the other takes on one connection."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    while True:
        began_at = time.perf_counter()
        connection.request("POST", "/v1/run", body)
        connection.getresponse().read()
        yield time.perf_counter() - began_at


async def _run(url: str, body: bytes) -> Asked:
    began_at = time.monotonic()
    path, moved = "/v1/run", "/v1/run"
    status, answer = 307, b""
    while status == 307:
        path = moved
        status, moved, answer = await _post(url, path, body)
    return Asked(status, answer, path, time.monotonic() - began_at)


async def _post(url: str, path: str, body: bytes) -> tuple[int, str, bytes]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    data = await reader.read()
    writer.close()
    lines, _, rest = data.partition(b"\r\n\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines.split(b"\r\n")[1:])}
    if headers.get(b"transfer-encoding") == b"chunked":
        rest = _joined(rest)
    return int(lines.split()[1]), headers.get(b"location", b"").decode(), rest


def _joined(chunks: bytes) -> bytes:
    joined = b""
    while chunks:
        length, _, chunks = chunks.partition(b"\r\n")
        joined += chunks[: int(length, 16)]
        chunks = chunks[int(length, 16) + 2 :]
    return joined
