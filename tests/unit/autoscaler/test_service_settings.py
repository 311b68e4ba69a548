"""The table `[service]`: every fault is named with its key."""

import pytest

from autoscaler.errors import SettingsError
from autoscaler.lookahead.gitlab import GitLab, JobObject, queued_job
from autoscaler.service.settings import Service, read_service

GITLAB = {"url": "https://gitlab.example.com", "token_file": "/t", "projects": [1], "tags": ["spack", "x86_64"]}


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"lisen": "x"}, "lisen"),
        ({"listen": 8080}, "listen"),
        ({"listen": "8080"}, "HOST:PORT"),
        ({"listen": "0.0.0.0:99999"}, "HOST:PORT"),
        ({"lease": "Not A Name"}, "lease"),
        ({"job_labels": {}}, "job_labels is empty"),
        ({"record_count": 0}, "record_count"),
        ({"gitlab": {"url": "https://g"}}, "needs token_file, projects and tags"),
        ({"gitlab": GITLAB | {"url": "gitlab.example.com"}}, "not a URL"),
        ({"gitlab": GITLAB | {"every_seconds": 1}}, "every_seconds"),
    ],
)
def test_a_faulty_table_is_rejected_with_its_key(table: dict[str, object], word: str) -> None:
    with pytest.raises(SettingsError, match=word) as caught:
        read_service(table)
    assert "service" in str(caught.value)


def test_no_table_has_defaults_that_are_sound() -> None:
    found = read_service({})
    assert found == Service()
    assert found.job_labels == {"spack-farm.io/managed-by": "executor"}
    assert "node.spack.io/certificate-pending" in found.all_startup_taints
    assert read_service({"startup_taints": ["mine"]}).all_startup_taints > found.all_startup_taints
    assert read_service({"gitlab": GITLAB}).gitlab == GitLab(**{**GITLAB, "projects": (1,), "tags": ("spack", "x86_64")})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tags", "counts"), [(("spack",), True), (("spack", "x86_64"), True), (("spack", "huge"), False), ((), False)]
)
def test_a_waiting_job_counts_if_all_its_tags_are_ours(tags: tuple[str, ...], counts: bool) -> None:  # noqa: FBT001 (a column)
    job = JobObject(id=7, name="zlib", tag_list=tags, queued_duration=30.0)
    found = queued_job(job, frozenset({"spack", "x86_64"}), 100.0)
    assert (found is not None) is counts
    assert found is None or (found.id, found.since) == ("7", 70.0)
