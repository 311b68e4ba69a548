"""What package code may see of the environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildjob.masking import mask
from buildjob.process.environments import split

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "name",
    [
        "CI_JOB_TOKEN",
        "SPACK_CDASH_AUTH_TOKEN",
        "SPACK_SIGNING_KEY",
        "SPACK_FARM_BUILD_SIGNING_KEY",
        "CI_REGISTRY_PASSWORD",
        "MY_S3_SECRET",
        "deploy_private_key",
        "GITHUB_TOKEN",
        "VAULT_TOKEN",
        "API_KEY",
        "SSH_AUTH_SOCK",
        "CI_REPOSITORY_URL",
        "KUBECONFIG",
        "DB_PASSWORD_PROD",
        "CI_JOB_JWT_V2",
    ],
)
def test_a_secret_reaches_no_spack_process(name: str) -> None:
    environments = split({name: SECRET, "PATH": "/bin"})
    assert environments.build == {"PATH": "/bin"}
    assert environments.fetch == {"PATH": "/bin"}
    assert SECRET in environments.secret_values


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "S3_ENDPOINT_URL", "AWS_PROFILE"])
def test_a_mirrors_credentials_reach_only_the_spack_that_fetches(name: str) -> None:
    environments = split({name: SECRET, "PATH": "/bin"})
    assert environments.build == {"PATH": "/bin"}
    assert environments.fetch == {"PATH": "/bin", name: SECRET}


def test_variables_that_spacks_configuration_names_are_credentials() -> None:
    environments = split({"BUCKET_PW": SECRET}, mirror_variables=["BUCKET_PW"])
    assert environments.build == {}
    assert environments.fetch == {"BUCKET_PW": SECRET}


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "SPACK_ROOT",
        "CI_JOB_ID",
        "KEYBOARD",
        "TOKENIZER",
        "AWS_DEFAULT_REGION",
        "CI_COMMIT_REF_NAME",
        "http_proxy",
    ],
)
def test_what_is_no_secret_stays(name: str) -> None:
    assert split({name: "value-here"}).build == {name: "value-here"}


def test_a_variable_that_repeats_a_secret_goes_with_it() -> None:
    environments = split({"CI_JOB_TOKEN": SECRET, "URL": f"https://u:{SECRET}@host/", "OTHER": "x"})
    assert environments.build == {"OTHER": "x"}


def test_a_short_value_hides_nothing_else() -> None:
    assert split({"MY_TOKEN": "1", "OTHER": "10 of 11"}).build == {"OTHER": "10 of 11"}


def test_a_file_name_is_no_secret_to_mask() -> None:
    environments = split({"SPACK_FARM_BUILD_SIGNING_KEY_FILE": "/keys/build.asc", "NOTE": "see /keys/build.asc"})
    assert environments.secret_values == frozenset()
    assert environments.build["NOTE"] == "see /keys/build.asc"


@given(st.text(), st.text(min_size=6).filter(lambda value: value not in "[MASKED]"))
def test_a_masked_text_no_longer_holds_the_secret(text: str, secret: str) -> None:
    masked = mask(text + secret + text, [secret])
    assert secret not in masked or secret in text.replace(secret, "") + "[MASKED]" + text


def test_user_and_password_in_a_url_are_masked() -> None:
    assert mask("see https://me:pass@host/x", []) == "see https://[MASKED]@host/x"
