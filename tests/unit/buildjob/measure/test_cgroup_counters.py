"""The kernel's files, v1 and v2, whole, partly missing and senseless."""

import pytest

from buildjob.measure.cgroup_counters import Reading, parse_v1, parse_v2

_V1 = {
    "usage": b"900\n",
    "stat": b"cache 5\nrss 1\nshmem 2\ninactive_file 3\n"
    b"total_rss 100\ntotal_shmem 20\ntotal_swap 50\ntotal_inactive_file 300\n",
    "high-water mark": b"1000\n",
    "kills": b"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "procs": b"1\n7\n",
    "cpu": b"1500000000\n",
    "throttled": b"nr_periods 3\nnr_throttled 1\nthrottled_time 250000000\n",
}
_V2 = {
    "usage": b"900\n",
    "swap": b"50\n",
    "stat": b"anon 100\nfile 500\nshmem 20\ninactive_anon 1\ninactive_file 300\n",
    "high-water mark": b"1000\n",
    "kills": b"low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
    "procs": b"1\n7\n",
    "cpu": b"usage_usec 1500000\nuser_usec 1\nsystem_usec 2\nnr_periods 3\nnr_throttled 1\nthrottled_usec 250000\n",
    "pressure": b"some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
    "io": b"8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n254:0 rbytes=1 wbytes=2 rios=1 wios=1\n",
}
_BOTH = Reading(
    usage_bytes=900,
    working_set_bytes=600,
    anonymous_bytes=120,
    swap_bytes=50,
    high_water_mark_bytes=1000,
    cpu_seconds=1.5,
    throttled_seconds=0.25,
    kills=2,
    processes=2,
)


def test_v1_files_become_a_reading() -> None:
    assert parse_v1(_V1) == _BOTH


def test_v2_files_become_the_same_reading_and_more() -> None:
    more = {"pressure_seconds": 2.5, "read_bytes": 11, "written_bytes": 22}
    assert parse_v2(_V2) == Reading(**{**{name: getattr(_BOTH, name) for name in _BOTH.__struct_fields__}, **more})


@pytest.mark.parametrize("missing", sorted(_V1))
def test_a_missing_v1_file_costs_its_own_figures_only(missing: str) -> None:
    reading = parse_v1({name: text for name, text in _V1.items() if name != missing})
    lost = [name for name in Reading.__struct_fields__ if getattr(reading, name) != getattr(_BOTH, name)]
    assert 1 <= len(lost) <= 3
    assert all(getattr(reading, name) is None for name in lost)


@pytest.mark.parametrize("text", [b"", b"max\n", b"-1\n", b"oom_kill\n", b"\0\xff", b"anon x\ninactive_file \n"])
def test_senseless_text_is_no_figure(text: bytes) -> None:
    for parse, texts in ((parse_v1, _V1), (parse_v2, _V2)):
        reading = parse(dict.fromkeys(set(texts) - {"procs", "io"}, text))
        assert reading == Reading()
