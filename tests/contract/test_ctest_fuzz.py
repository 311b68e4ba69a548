"""Clause: whatever a log or a build holds, the document is well-formed and valid. The large run: scripts/prove ctest-xml."""

import io
import itertools

from ctest_xml import write
from ctest_xml.model import Build, LogEvent, Site
from ctest_xml.scan import scan
from tests.labs.random_documents import memory_of, prove_one


def test_a_share_of_the_fuzz_proof() -> None:
    for seed in range(400):  # the same in every run; scripts/prove ctest-xml tries others
        prove_one(seed)


def test_memory_does_not_grow_with_the_log() -> None:
    block = b"src/a.c:3:2: warning: unused [-Wunused]\n" + b"g++ -c x.cpp -o x.o\n" * 200

    def run(times: int) -> int:
        return memory_of(lambda: sum(1 for _ in scan(itertools.repeat(block, times))))

    assert list(scan([block]))  # what is loaded at first use
    assert run(4000) < run(400) + 2_000_000


def test_memory_does_not_grow_with_the_number_of_events() -> None:
    site = Site(name="n", build_name="b", build_stamp="20261122-0742-x")
    event = LogEvent(kind="error", log_line=1, text="error " * 50)

    def run(times: int) -> int:
        build = Build(start_seconds=1, end_seconds=2, command="c", events=itertools.repeat(event, times))
        return memory_of(lambda: write.build(_Nowhere(), site=site, build=build, limit=0))

    build = Build(start_seconds=1, end_seconds=2, command="c", events=[event])
    write.build(_Nowhere(), site=site, build=build, limit=0)  # what is loaded at first use
    assert run(20_000) < run(2_000) + 2_000_000


class _Nowhere(io.BytesIO):
    def write(self, body: object) -> int:
        return len(body)  # type: ignore[arg-type]
