"""The `<Site>` around a document, and the small elements that all documents share.

Knows nothing of the documents themselves. Obeys: CDash 5.3, app/Validators/Schemas/common.xsd;
app/Utils/SubmissionUtils.php, which looks for a document's kind in its first 8192 bytes: so the attributes have a budget.
"""

import html
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from lxml import etree

from ctest_xml import limits
from ctest_xml.model import Site
from ctest_xml.text import clean_name, one_line
from ctest_xml.xmlstream import XmlStream, document, fragment

_BUDGET_BYTES = limits.HEAD_BYTES - 400  # for tags, names of attributes, the marker itself


@contextmanager
def site_document(out: BinaryIO, site: Site, *, machine: bool) -> Iterator[XmlStream]:
    """Write `<Site …>` around a document; with `machine`, also the known facts about compiler, system and hardware."""
    attributes = identity_attributes(site)
    if machine:
        attributes |= _within_budget(
            machine_attributes(site), taken=_size(attributes) + 2 * _size({"": clean_name(site.subproject)})
        )
    with document(out) as xml, xml.element("Site", attributes):
        yield xml


def identity_attributes(site: Site) -> dict[str, str]:
    """Return the attributes by which CDash finds the build; they are equal in every document."""
    attributes = {
        "BuildName": clean_name(site.build_name),
        "BuildStamp": clean_name(site.build_stamp),
        "Name": clean_name(site.name),
        "Generator": clean_name(site.generator) or "ctest_xml",
    }
    return attributes | ({"Append": "true"} if site.append else {})


def machine_attributes(site: Site) -> dict[str, str]:
    """Return the known facts about compiler, system and hardware, in CDash's units: MiB, MHz, KiB of cache."""
    known: dict[str, str | int | None] = {
        "CompilerName": site.compiler_name,
        "CompilerVersion": site.compiler_version,
        "OSName": site.os_name,
        "OSRelease": site.os_release,
        "OSVersion": site.os_version,
        "OSPlatform": site.os_platform,
        "Is64Bits": None if site.is_64_bits is None else int(site.is_64_bits),
        "VendorString": site.cpu_vendor,
        "VendorID": site.cpu_vendor_id,
        "FamilyID": site.cpu_family,
        "ModelID": site.cpu_model,
        "ModelName": site.cpu_model_name,
        "ProcessorCacheSize": _divided(site.cpu_cache_bytes, 1 << 10),
        "NumberOfLogicalCPU": site.logical_cpus,
        "NumberOfPhysicalCPU": site.physical_cpus,
        "TotalVirtualMemory": _divided(site.virtual_memory_bytes, 1 << 20),
        "TotalPhysicalMemory": _divided(site.memory_bytes, 1 << 20),
        "ProcessorClockFrequency": _divided(site.cpu_clock_hertz, 1e6),
        "ChangeId": one_line(site.change_id, size=limits.CHANGE_ID),
    }
    return {name: _attribute(value) for name, value in known.items() if value not in {None, ""}}


def _attribute(value: str | int | None) -> str:
    if isinstance(value, int):
        return str(min(max(value, 0), limits.INTEGER))
    return one_line(value or "")


def _divided(value: float | None, unit: float) -> int | None:
    return None if value is None or not math.isfinite(value) else int(value / unit)


def _within_budget(attributes: dict[str, str], *, taken: int) -> dict[str, str]:
    """Return the attributes that fit into what CDash searches for the document's kind; `taken` bytes of it are in use."""
    kept = {}
    for name, value in attributes.items():
        taken += _size({name: value})
        if taken <= _BUDGET_BYTES:
            kept[name] = value
    return kept


def _size(attributes: dict[str, str]) -> int:
    return sum(len(name) + len(html.escape(value).encode()) + 4 for name, value in attributes.items())


def subproject(xml: XmlStream, site: Site) -> None:
    """Write the subproject before a document's content, if there is one."""
    if not site.subproject:
        return
    node = etree.Element("Subproject", name=clean_name(site.subproject))
    fragment(node, "Label", clean_name(site.subproject))
    xml.tree(node)


def labels(parent: etree._Element, texts: Iterable[str]) -> None:
    """Append `<Labels>`, if there are any."""
    kept = [text for text in texts if text]
    if kept:
        node = etree.SubElement(parent, "Labels")
        for text in kept:
            fragment(node, "Label", text)


def write_labels(xml: XmlStream, texts: Iterable[str]) -> None:
    """Write `<Labels>`, if there are any."""
    parent = etree.Element("Labels")  # only to hold them
    labels(parent, texts)
    for node in parent:
        xml.tree(node)


def seconds(value: float) -> int:
    """Return a time for a column that holds whole seconds since 1970."""
    return 0 if not math.isfinite(value) else min(max(int(value), 0), limits.UNSIGNED)


def minutes(start_seconds: float, end_seconds: float) -> str:
    """Return ElapsedMinutes: the schema requires it, CDash ignores it."""
    return f"{max(0, seconds(end_seconds) - seconds(start_seconds)) / 60:.2f}"


def number(value: float) -> str:
    """Return a finite number in plain digits, at most six after the point."""
    clipped = min(max(value, -1e15), 1e15)
    return f"{clipped:.6f}".rstrip("0").rstrip(".")
