"""What the status line says of a conversion."""

from ctest_xml.progress import Progress


def test_a_conversion_is_shown_with_its_part_bytes_and_events() -> None:
    progress = Progress("build.log")
    with progress:
        progress.step("unpacking")
        assert progress.forms()[0] == "build.log: unpacking"
        progress.add(3_000_000)
        assert progress.forms()[0] == "build.log: unpacking, 3 MB"
        progress.step("reading", total_bytes=100_000_000)
        for _ in range(20):
            progress.event()
            progress.add(1_000_000)
        whole = "build.log: reading, 20 of 100 MB, 20 errors and warnings"
        assert progress.forms() == [whole, "build.log: reading, 20 of 100 MB", "20 of 100 MB"]
