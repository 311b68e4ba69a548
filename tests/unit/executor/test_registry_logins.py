"""Logins to image registries: whose count, in which forms, and that a fault in one source costs no other, and no secret."""

import base64
import json
from typing import Any

import pytest

from executor.job import Credential
from executor.registry_logins import VARIABLE, collect_logins

SECRET = "s3cret-pass:word"
TOKEN = [Credential(type="registry", url="registry.gitlab.example", username="gitlab-ci-token", password="job")]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(auths: Any, **more: Any) -> str:
    return json.dumps({"auths": auths, **more})


def users(variable: str = "", managers: str = "", credentials: list[Credential] = TOKEN) -> dict[str, str]:
    return {one.url: one.username for one in collect_logins(variable, managers, credentials).found}


def test_the_variable_counts_before_the_managers_file_and_that_before_the_jobs_token() -> None:
    variable = config({"a.example": {"auth": encoded("variable:1")}})
    managers = config({"a.example": {"auth": encoded("manager:1")}, "b.example": {"auth": encoded("manager:1")}})
    token = [*TOKEN, Credential(type="registry", url="b.example", username="token", password="1")]
    assert users(variable, managers, token) == {
        "a.example": "variable", "b.example": "manager", "registry.gitlab.example": "gitlab-ci-token",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("server", "same"),
    [
        ("registry.gitlab.example", True),
        ("https://registry.gitlab.example", True),
        ("https://registry.gitlab.example/v1/", True),
        ("REGISTRY.gitlab.example/", True),
        ("registry.gitlab.example:5050", False),
        ("registry.gitlab.example/group", False),
    ],
)
def test_one_registry_in_two_spellings_is_one(server: str, *, same: bool) -> None:
    assert len(users(config({server: {"auth": encoded("mine:1")}}))) == (1 if same else 2)


@pytest.mark.parametrize("server", ["docker.io", "index.docker.io/v1", "https://index.docker.io/v1/", "https://docker.io"])
def test_a_login_to_docker_hub_has_the_key_under_which_kubelets_look(server: str) -> None:
    found = users(config({server: {"auth": encoded("hub:1")}}), credentials=[])
    assert found in ({"https://index.docker.io/v1/": "hub"}, {"index.docker.io/v1": "hub"})


@pytest.mark.parametrize(
    "entry",
    [
        {"auth": encoded(f"user:{SECRET}")},
        {"username": "user", "password": SECRET},
        {"auth": encoded(f"user:{SECRET}\0\0"), "email": "a@b"},
        {"auth": encoded(f"user:{SECRET}"), "username": "other", "password": "other"},
    ],
)
def test_each_form_of_a_login_is_read(entry: dict[str, str]) -> None:
    (login,) = collect_logins(config({"a.example": entry}), "", []).found
    assert (login.username, login.password) == ("user", SECRET)
    assert SECRET not in repr(login)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON of the form"),
        ("[]", "not JSON of the form"),
        ('{"auths": []}', "not JSON of the form"),
        ("[" * 100_000, "not JSON of the form"),
        (f'{{"auths": {{"x": "{SECRET}"', "not JSON of the form"),
        (config({"a.example": {"auth": "?" + SECRET}}), "no user and password for a.example"),
        (config({"a.example": {"auth": encoded("nocolon")}}), "no user and password for a.example"),
        (config({"a.example": {"auth": base64.b64encode(b"\xff:\xff").decode()}}), "no user and password for a.example"),
        (config({"a.example": {}}), "no user and password for a.example"),
        (config({"a.example": SECRET}), "no user and password for a.example"),
        (config({"a.example": {"username": 1, "password": [SECRET]}}), "no user and password for a.example"),
        (config({"a.example": {"identitytoken": SECRET}}), "no user and password for a.example"),
        (config({}, credsStore="desktop"), "credsStore and credHelpers are not used"),
        (config({}, credHelpers={"a.example": "../../bin/sh"}), "credsStore and credHelpers are not used"),
    ],
)
def test_a_faulty_source_costs_a_warning_without_its_values_and_the_others_count(text: str, words: str) -> None:
    logins = collect_logins(text, "", TOKEN)
    assert [one.url for one in logins.found] == ["registry.gitlab.example"]
    (warning,) = logins.warnings
    assert warning.startswith(VARIABLE)
    assert words in warning
    assert SECRET not in warning


def test_static_logins_beside_a_credential_store_count() -> None:
    assert users(config({"a.example": {"auth": encoded("user:1")}}, credsStore="desktop"), credentials=[]) == {
        "a.example": "user"
    }


def test_without_any_source_there_is_none() -> None:
    assert collect_logins("", " \n", [Credential(type="other", url="x"), Credential(type="registry")]).found == []
