"""What the delegating web server costs: equal requests through the cache, refusals under overload, overhead, memory.

usage: scripts/bench delegate [--quick]
A gateway, a worker and, where it is installed, nginx as deploy/delegate configures it, as processes of this machine. Knative
and OpenFaaS can't be run here: their published behaviour stands beside ours. On a busy machine the least overhead says more
than the median.
"""

import argparse
import asyncio
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from scripts.benches.parts.contest import table
from scripts.benches.parts.delegate_client import keep_alive_seconds, open_loop, run_all
from tests.labs.delegate import Gateway, Nginx, running_gateway, running_nginx, running_worker

_EQUAL = 1000
_OVERLOAD = 10
_SERVICE_SECONDS = 0.1
PEERS = {
    "Knative queue-proxy": "pending requests up to 10 × containerConcurrency, beyond 503; no cache, equal requests all run",
    "OpenFaaS of-watchdog": "max_inflight, beyond 429 at once; no queue, no cache, equal requests all run",
}
"""Published: knative/serving pkg/queue/breaker.go, openfaas/of-watchdog README."""


def main() -> int:
    """Run the parts, print the table and the JSON line."""
    parser = argparse.ArgumentParser(prog="scripts/bench delegate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within 30 seconds")
    quick = parser.parse_args().quick
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ours: dict[str, float | int | None] = {}
    with tempfile.TemporaryDirectory(prefix="bench-delegate-") as name:
        for part in (_equal_requests, _overload, _overhead, _fingerprint):
            folder = Path(name) / part.__name__
            folder.mkdir()
            ours |= part(folder, quick=quick)
    ours["gateway_rss_bytes"] = max(int(value or 0) for key, value in ours.items() if key.endswith("rss_bytes"))
    rows: list[tuple[str, ...]] = [("", "measured")]
    print(table([*rows, *((key.replace("_", " "), f"{value:g}") for key, value in ours.items() if value is not None)]))
    for peer, text in PEERS.items():
        print(f"{peer}: {text}")
    print(json.dumps({"bench": "delegate", "ours": ours, "peers": PEERS, "ratios": {}}))
    return 0


def _equal_requests(folder: Path, *, quick: bool) -> dict[str, float | int | None]:
    """Send equal requests at once, cold and again directly after an input changed; then two that differ in one byte."""
    if shutil.which("nginx") is None:
        print("nginx: not on this machine")
        return {"computations_of_equal_requests": None}
    del quick
    (folder / "input").write_text("0")
    command = f"echo >> {folder}/runs; sleep 0.5; cat {folder}/input"
    with (
        running_gateway(folder) as gateway,
        running_worker(gateway, command, options=("--fingerprint", f"cat {folder}/input")),
        running_nginx(gateway) as nginx,
    ):
        counts, seconds = [], []
        for text in ("1", "2"):
            (folder / "input").write_text(text)
            began_at = time.monotonic()
            answers = asyncio.run(run_all(nginx.url, [b"equal"] * _EQUAL))
            seconds.append(time.monotonic() - began_at)
            wrong = [answer for answer in answers if (answer.status, answer.body) != (200, text.encode())]
            if wrong:
                raise RuntimeError(f"{len(wrong)} of {_EQUAL} answers are wrong, such as {wrong[0]}")
            counts.append(len((folder / "runs").read_text()))
            (folder / "runs").unlink()
        shared = _shared_addresses(nginx)
        return {
            "equal_requests": _EQUAL,
            "computations_of_equal_requests": max(counts),
            "computations_cold": counts[0],
            "computations_after_a_change": counts[1],
            "seconds_cold": round(seconds[0], 2),
            "seconds_after_a_change": round(seconds[1], 2),
            "addresses_shared_by_bodies_that_differ": shared,
            "equal_requests_rss_bytes": _rss(gateway),
        }


def _shared_addresses(nginx: Nginx) -> int:
    """Return how many addresses two bodies of 1 MiB share that differ in their last byte."""
    bodies = [b"x" * ((1 << 20) - 1) + last for last in (b"a", b"b")]
    answers = asyncio.run(run_all(nginx.url, bodies))
    return len(bodies) - len({answer.address for answer in answers})


def _overload(folder: Path, *, quick: bool) -> dict[str, float | int | None]:
    """Offer ten times what one worker can do."""
    rate = _OVERLOAD / _SERVICE_SECONDS
    seconds = 4 if quick else 15
    with running_gateway(folder) as gateway, running_worker(gateway, f"sleep {_SERVICE_SECONDS}"):
        waiting: list[float] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                waiting.append(gateway.metric("delegate_waiting"))

        watcher = threading.Thread(target=watch)
        watcher.start()
        answers = asyncio.run(open_loop(gateway.url, rate_per_second=rate, seconds=seconds))
        over.set()
        watcher.join()
        refused = sorted(answer.seconds for answer in answers if answer.status == 429)
        other = {answer.status for answer in answers} - {200, 429}
        if other:
            raise RuntimeError(f"under overload there are answers {other}")
        return {
            "offered_per_second": rate,
            "most_waiting": int(max(waiting)),
            "refusals": len(refused),
            "refusal_median_seconds": round(statistics.median(refused), 4),
            "refusal_p99_seconds": round(refused[int(len(refused) * 0.99)], 4),
            "overload_rss_bytes": _rss(gateway),
        }


def _overhead(folder: Path, *, quick: bool) -> dict[str, float | int | None]:
    """Run a trivial command through the gateway and through a pipe, in turns."""
    times = 100 if quick else 400
    through, pipe = [], []
    with running_gateway(folder) as gateway, running_worker(gateway, "cat", "-"):
        for ask in [keep_alive_seconds(gateway.url, b"trivial")] * times:
            through.append(next(ask))
            began_at = time.perf_counter()
            subprocess.run(["cat", "-"], input=b"trivial", capture_output=True, check=True)
            pipe.append(time.perf_counter() - began_at)
    difference = statistics.median(through) - statistics.median(pipe)
    return {
        "through_gateway_seconds": round(statistics.median(through), 4),
        "through_pipe_seconds": round(statistics.median(pipe), 4),
        "overhead_seconds": round(difference, 4),
        "overhead_least_seconds": round(min(through) - min(pipe), 4),
    }


def _fingerprint(folder: Path, *, quick: bool) -> dict[str, float | int | None]:
    """Ask for the address of a result."""
    times = 100 if quick else 400
    (folder / "input").write_text("x")
    with (
        running_gateway(folder) as gateway,
        running_worker(gateway, "cat", "-", options=("--fingerprint", f"cat {folder}/input")),
    ):
        ask = keep_alive_seconds(gateway.url, b"trivial")
        found = sorted(next(ask) for _ in range(times))
    return {
        "fingerprint_median_seconds": round(statistics.median(found), 4),
        "fingerprint_p99_seconds": round(found[int(times * 0.99)], 4),
    }


def _rss(gateway: Gateway) -> int:
    """Return the greatest resident set of a gateway so far."""
    lines = Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())
