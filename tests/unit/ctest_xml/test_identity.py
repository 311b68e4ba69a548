from pathlib import Path

import pytest

from ctest_xml.errors import BadInput
from ctest_xml.identity import Identity, identity_of

SITE = '<Site BuildName="b" BuildStamp="s" Name="n"'


def identity(folder: Path, body: str) -> Identity:
    path = folder / "Build.xml"
    path.write_text(body)
    return identity_of(path)


@pytest.mark.parametrize(
    ("body", "subproject"),
    [
        (f"{SITE}><Build/></Site>", ""),
        (f'{SITE}><Subproject name="p"><Label>p</Label></Subproject><Build/></Site>', "p"),
        ("<Update><Site>n</Site><BuildName>b</BuildName><BuildStamp>s</BuildStamp></Update>", ""),
        ("<Update><Site>n</Site><BuildName><![CDATA[b]]></BuildName><BuildStamp>&#115;</BuildStamp></Update>", ""),
    ],
)
def test_a_document_names_its_build(tmp_path: Path, body: str, subproject: str) -> None:
    assert identity(tmp_path, body) == Identity(build="b", site="n", stamp="s", subproject=subproject)


def test_only_the_beginning_of_a_large_document_is_read(tmp_path: Path) -> None:
    assert identity(tmp_path, f"{SITE}><Build>{'<Error/>' * 20_000} not XML").build == "b"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not XML"),
        ("no XML at all", "not XML"),
        ("<Site BuildName='b'><Build></Site>", "not XML"),
        ("<?xml version='1.0' encoding='nope'?><Site/>", "not XML"),
        (f'<!DOCTYPE Site [<!ENTITY a "b">]>{SITE}><Build/></Site>', "document type declaration"),
        (f"<!DOCTYPE Site SYSTEM 'file:///etc/passwd'>{SITE}/>", "document type declaration"),
        ('<Site BuildName="b" Name="n"/>', "does not name build, site and stamp"),
        ("<Other><Site>n</Site></Other>", "does not name build, site and stamp"),
    ],
)
def test_a_document_without_a_name_is_refused(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        identity(tmp_path, body)
