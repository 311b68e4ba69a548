"""Clause: `check` says of every sample what CDash's schemas say, and of the probes what CDash's own parser did with them."""

from pathlib import Path

import pytest

from ctest_xml.check import check
from tests.labs.cdash_schemas import fault, shared

PROBES = {
    "cmd_entity": "keeps only what follows the last entity",
    "cmd_cdata": "",
    "argument_entity": "keeps only what follows the last entity",
    "labels_entity": "keeps only what follows the last entity",
    "labels_cdata": "",
    "update_entity": "keeps only what follows the last entity",
    "configure_entities": "",
    "comment_trick": "takes this for a document of the kind Update",
    "log_in_build": "does not store Build.xml's Log",
    "gz_zlib": "",
    "gz_gzip": "must be zlib",
    "b64_only": "stores the base64 text as it is",
    "statuses": "Status is not passed, failed or notrun",
    "test_nogen": "",
    "notes_nogen": "no Generator",
    "notes_notime": "has no Time",
    "instr_phases": "",
    "instr_target": "needs Output, holds Output Output",
    "instr_nomeas": "holds nothing",
    "loose_compile": "not expected in Commands",
    "loose_measure": "not expected in Build",
    "ctest_role": "Ctest: not expected in Commands",
    "sax_entities": "BuildStamp is missing",
}
"""Probe case -> what check says of it; nothing: CDash stores all of it (section 5.3 of the specification)."""


def samples() -> list[Path]:
    data = shared("ctest").parent
    bodies = [body for body in data.glob("spack/cdash/*requests/*-PUT.body") if b"<" in body.read_bytes()[:1]]
    return sorted(
        [*data.glob("ctest/*/*.xml"), *data.glob("cdash/probe-cases/*.xml"), *data.glob("spack/cdash/**/*.xml"), *bodies]
    )


def test_check_and_schema_agree_on_every_sample() -> None:
    paths = samples()
    assert len(paths) > 90
    verdicts = {path: any(found.of_schema for found in check(path)) for path in paths}
    assert verdicts == {path: bool(fault(path.read_bytes())) for path in paths}


@pytest.mark.parametrize("name", list(PROBES))
def test_check_says_what_the_parser_of_cdash_did(name: str) -> None:
    faults = check(shared("cdash/probe-cases") / f"{name}.xml")
    said = " | ".join(map(str, faults))
    assert PROBES[name] in said
    assert bool(faults) == bool(PROBES[name])


def test_what_spack_sends_is_never_valid() -> None:
    """CDash with VALIDATE_SUBMISSIONS=REJECT takes none of it (section 3.4)."""
    bodies = list(shared("spack/cdash").glob("*requests/*-PUT.body"))
    refused = [body for body in bodies if any(found.of_schema for found in check(body))]
    assert len(refused) >= len(bodies) - 4
