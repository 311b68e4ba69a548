"""Where a job's binary goes, and with which credentials."""

from pathlib import Path

import pytest

from buildjob.ci.destination import NAME, cdash_names, lost, target_of, with_access
from buildjob.ci.job import CIJob
from buildjob.errors import RequestError
from buildjob.report.cdash_names import CDashNames
from buildjob.spack.ci_answer import CDashSection, Destination
from buildjob.spack.mirror_faults import MirrorFault

S3 = Destination(url="s3://bucket/prefix/", signed=True)


def test_a_folder_and_a_bucket_are_targets() -> None:
    assert target_of(Destination(url="file:///srv/with%20space", signed=True), None, None).folder == Path("/srv/with space")
    assert target_of(S3, None, None).url == "s3://bucket/prefix"


@pytest.mark.parametrize("url", ["oci://registry/x", "https://example.org/mirror", "gs://bucket", "s3://"])
def test_other_storage_is_rejected(url: str) -> None:
    with pytest.raises(RequestError, match="keep 'spack ci rebuild'"):
        target_of(Destination(url=url, signed=True), None, None)


@pytest.mark.parametrize("folder", ["s3%3A/bucket/prefix", "https%3A/server/x", "%24BUILDCACHE", "%24%7BBUILDCACHE%7D/main"])
def test_a_variable_that_spack_has_taken_for_a_folder_is_rejected(folder: str) -> None:
    url = f"file:///builds/project/{folder}"
    with pytest.raises(RequestError, match=r"takes a variable for a folder.*mirror set --url URL buildcache-destination"):
        target_of(Destination(url=url, signed=True), None, None)


@pytest.mark.parametrize("folder", ["a%3Ab", "s3", "cost%24", "12%3A30"])
def test_odd_names_of_folders_are_taken(folder: str) -> None:
    assert target_of(Destination(url=f"file:///srv/{folder}", signed=True), None, None).folder


@pytest.mark.parametrize(
    ("destination", "given", "expected"),
    [
        ({}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "t"}, {"AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "t"}),
        (
            {"id": "me", "secret_variable": "CODE"},
            {"CODE": "s", "AWS_SESSION_TOKEN": "of another key"},
            {"CODE": "s", "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s"},
        ),
        (
            {"id_variable": "ID", "secret_variable": "CODE", "token_variable": "PASS"},
            {"ID": "i", "CODE": "s", "PASS": "p"},
            {
                "ID": "i",
                "CODE": "s",
                "PASS": "p",
                "AWS_ACCESS_KEY_ID": "i",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_SESSION_TOKEN": "p",
            },
        ),
        ({"endpoint_url": "http://s3"}, {}, {"SPACK_FARM_PUBLISH_ENDPOINT_URL": "http://s3"}),
        ({"profile": "farm"}, {}, {"AWS_PROFILE": "farm"}),
    ],
)
def test_our_client_gets_the_credentials_that_spacks_configuration_names(
    destination: dict[str, str], given: dict[str, str], expected: dict[str, str]
) -> None:
    assert with_access(Destination(url="s3://bucket", signed=True, **destination), given) == expected


def test_credentials_that_are_not_set_are_named() -> None:
    with pytest.raises(RequestError, match="ID and CODE, which are not set"):
        with_access(Destination(url="s3://b", signed=True, id_variable="ID", secret_variable="CODE"), {})


def test_cdash_has_the_names_of_the_pipeline() -> None:
    job = CIJob(
        dag_hash="x" * 32,
        name="hello",
        job_name="",
        project=Path("/p"),
        environment=Path("/e"),
        artifacts=Path("/a"),
        logs=Path("/a/l"),
        reproduction=Path("/a/r"),
        tests=Path("/a/t"),
        cdash_build_name="hello@1.0",
        cdash_build_stamp="20261122-0850-Nightly",
    )
    given = CDashNames(site="host")
    section = CDashSection(url="u", project="p", site="Farm", group="Nightly")
    names = cdash_names(section, job, given, runner="runner-1")
    assert (names.site, names.group, names.build_name) == ("Farm (runner-1)", "Nightly", "hello@1.0")
    assert cdash_names(CDashSection(), job, given, runner="r") == given


@pytest.mark.parametrize(
    ("mirror", "kind", "is_lost"),
    [
        *((NAME, kind, True) for kind in ("timeout", "refused", "disconnected", "unreachable", "busy", "io", "unknown")),
        *((NAME, kind, True) for kind in ("name", "name_later", "certificate", "tls", "denied", "http", "configuration")),
        *((NAME, kind, True) for kind in ("credentials", "no_bucket")),
        # what it has is known, or is nothing yet
        *((NAME, kind, False) for kind in ("index", "entry", "damaged", "no_folder")),
        ("another", "refused", False),
    ],
)
def test_a_destination_that_does_not_answer_is_lost(mirror: str, kind: str, *, is_lost: bool) -> None:
    faults = [MirrorFault(mirror="third", url="s3://x", kind="busy"), MirrorFault(mirror=mirror, url="s3://y", kind=kind)]
    assert lost(faults) == (faults[1] if is_lost else None)
    assert lost([]) is None
