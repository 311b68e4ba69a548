"""The keys of a build cache. They lie in existing build caches: none of these strings may ever change."""

import pytest

from buildjob.buildcache import layout


def test_the_keys_are_those_of_existing_build_caches() -> None:
    keys = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    assert keys == {
        "MANIFESTS": "v3/manifests/",
        "SPECS": "v3/manifests/spec/",
        "INDEX": "v3/manifests/index/index.manifest.json",
        "INDICES": "v3/manifests/index/",
        "KEYS": "v3/manifests/key/",
        "KEY_INDEX": "v3/manifests/key/keys.manifest.json",
        "LAYOUT": "v3/layout.json",
        "BLOBS": "blobs/sha256/",
        "MANIFEST_END": ".spec.manifest.json",
        "TELEMETRY": "telemetry/v1/",
        "OURS": "spack-farm/v1/",
        "PENDING": "spack-farm/v1/pending/",
        "REPLACED": "spack-farm/v1/replaced/",
        "CONDITIONAL": "spack-farm/v1/conditional-writes",
        "LOCK": "spack-farm/v1/lock-by-ticket/",
        "FENCING_TOKENS": "spack-farm/v1/fence/",
        "PRUNING": "spack-farm/v1/pruning",
        "MARKED": "spack-farm/v1/doomed/",
        "VERIFIED": "spack-farm/v1/verified.json",
        "INDEX_MEDIA_TYPE": "application/vnd.spack.db.v8+json",
        "TARBALL_MEDIA_TYPE": "application/vnd.spack.install.v2.tar+gzip",
        "SPEC_MEDIA_TYPE": "application/vnd.spack.spec.v5+json",
        "KEY_MEDIA_TYPE": "application/pgp-keys",
        "KEY_INDEX_MEDIA_TYPE": "application/vnd.spack.keyindex.v1+json",
    }


def test_a_binarys_manifest_is_named_by_package_and_hash() -> None:
    key = layout.manifest_key("zlib", "1.3", "a" * 32)
    assert key == f"v3/manifests/spec/zlib/zlib-1.3-{'a' * 32}.spec.manifest.json"
    assert layout.hash_of(key) == "a" * 32
    assert layout.hash_of(layout.INDEX) == ""


@pytest.mark.parametrize(
    ("version", "stem"),
    [
        ("git.main=1.0", "git.main_1.0"),
        ("git.feature/foo=1.0", "git.feature_foo_1.0"),
        (f"git.{'a1' * 20}=develop", f"git.{'a1' * 20}_develop"),
        ("1.0+patch-2", "1.0+patch-2"),
        ("1:2~rc1%x", "1_2_rc1_x"),
        ("../../etc", ".._.._etc"),
        ("a b\n", "a_b_"),
        ("ä日", "__"),
        ("", ""),
    ],
)
def test_a_version_that_no_key_can_hold_is_written_as_spack_writes_it(version: str, stem: str) -> None:
    """Compared with Spack itself in test_names_on_spack.py."""
    key = layout.manifest_key("app", version, "a" * 32)
    assert key == f"v3/manifests/spec/app/app-{stem}-{'a' * 32}.spec.manifest.json"
    assert layout.hash_of(key) == "a" * 32


def test_a_blob_is_named_by_its_checksum() -> None:
    assert layout.blob("abcdef") == "blobs/sha256/ab/abcdef"
