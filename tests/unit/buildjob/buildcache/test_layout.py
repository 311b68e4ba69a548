"""The keys of a build cache. They lie in existing build caches: none of these strings may ever change."""

from buildjob.buildcache import layout


def test_the_keys_are_those_of_existing_build_caches() -> None:
    keys = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    assert keys == {
        "SPECS": "v3/manifests/spec/",
        "INDEX": "v3/manifests/index/index.manifest.json",
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
        "INDEX_MEDIA_TYPE": "application/vnd.spack.db.v8+json",
        "SPEC_MEDIA_TYPE": "application/vnd.spack.spec.v5+json",
        "KEY_MEDIA_TYPE": "application/pgp-keys",
        "KEY_INDEX_MEDIA_TYPE": "application/vnd.spack.keyindex.v1+json",
    }


def test_a_binarys_manifest_is_named_by_package_and_hash() -> None:
    path = layout.manifest_path("zlib", "1.3", "a" * 32)
    assert path.as_posix() == f"v3/manifests/spec/zlib/zlib-1.3-{'a' * 32}.spec.manifest.json"
    assert layout.hash_of(path.as_posix()) == "a" * 32
    assert layout.hash_of(layout.INDEX) == ""


def test_a_blob_is_named_by_its_checksum() -> None:
    assert layout.blob("abcdef") == "blobs/sha256/ab/abcdef"
