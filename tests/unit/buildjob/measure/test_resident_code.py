"""Which mappings are locked, and in which order: what may be locked is often little."""

from buildjob.measure.resident_code import Mapping, in_order, parse_maps, paths_at

_MAPS = """\
55bd0a702000-55bd0a703000 r--p 00000000 fe:00 1  /usr/bin/python3
55bd0a703000-55bd0a704000 r-xp 00001000 fe:00 1  /usr/bin/python3
55bd0a704000-55bd0a705000 rw-p 00002000 fe:00 1  /usr/bin/python3
55bd0b000000-55bd0b100000 rw-p 00000000 00:00 0  [heap]
7f0000000000-7f0000400000 r-xp 00000000 fe:00 2  /opt/with space/libpython3.so
7f0000800000-7f0000900000 r--p 00000000 00:00 0
7f0000900000-7f0000908000 r-xp 00000000 fe:00 3  /usr/lib/select.so
7f0000a00000-7f0000a01000 ---p 00000000 fe:00 3  /usr/lib/select.so
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0  [vdso]
"""
_PYTHON = "/usr/bin/python3"


def test_code_and_constants_of_files_are_found_and_nothing_else() -> None:
    found = parse_maps(_MAPS)
    assert [(mapping.path, mapping.end - mapping.begin) for mapping in found] == [
        (_PYTHON, 4096),
        (_PYTHON, 4096),
        ("/opt/with space/libpython3.so", 4 << 20),
        ("/usr/lib/select.so", 32768),
    ]


def test_the_files_that_must_be_locked_come_first_then_small_ones() -> None:
    mappings = parse_maps(_MAPS)
    first = paths_at([0x7F0000000010, 12], mappings)
    assert first == {"/opt/with space/libpython3.so"}
    assert [mapping.path for mapping in in_order(mappings, first=first)] == [
        "/opt/with space/libpython3.so",
        _PYTHON,
        _PYTHON,
        "/usr/lib/select.so",
    ]


def test_a_process_without_mappings_has_nothing_to_lock() -> None:
    assert in_order(parse_maps(""), first=set()) == []
    assert paths_at([1], [Mapping(1, 1, "/empty")]) == set()
