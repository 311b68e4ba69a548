"""Clause: docs/executor.md names each job that ends differently under the official executor (bench e2e --compat)."""

from tests.labs.farm.compat_jobs import PAGE, Places, compat_jobs, documented

JOBS = compat_jobs(Places("registry", "untrusted", {}, {"variables": {}}))


def test_the_page_names_only_jobs_that_are_run_each_once() -> None:
    names = documented(PAGE.read_text("utf-8"))
    assert len(names) == len(set(names)) > 0
    assert set(names) <= JOBS.keys()


def test_many_jobs_are_run_each_with_an_end_of_its_own() -> None:
    assert len(JOBS) >= 40
    assert all(job["runner_info"]["timeout"] <= 240 for job in JOBS.values())
