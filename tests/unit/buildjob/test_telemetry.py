"""Samples are lists in the document, and rows for those who read them."""

from buildjob.telemetry import SampleRow, Samples


def test_samples_are_read_row_by_row() -> None:
    samples = Samples(
        time_seconds=[1.0, 2.0], memory_bytes=[10, 20], cpu_cores=[0.5, 1.5], processes=[1, 2], late_seconds=[0.0, 0.1]
    )
    assert list(samples.rows()) == [SampleRow(1.0, 10, 0.5, 1, 0.0), SampleRow(2.0, 20, 1.5, 2, 0.1)]


def test_a_document_with_gaps_gives_rows_with_gaps_and_none_without_a_time() -> None:
    samples = Samples(time_seconds=[1.0, 2.0], memory_bytes=[10, 20, 30], cpu_cores=[0.5])
    assert list(samples.rows()) == [SampleRow(1.0, 10, 0.5, None, None), SampleRow(2.0, 20, None, None, None)]
    assert list(Samples().rows()) == []
