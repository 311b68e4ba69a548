"""Runs inside Spack's Python, for `concretize.py`: the configuration that builds the same concrete specs elsewhere.

What belongs to Spack itself (its defaults, what lies below its checkout) is left to the other machine's Spack. All else that
holds here, from whatever scope, is answered as the sections of one scope: an allow-list of keys, so that no credential gets
out. What names folders of this machine alone is apart. Written for Spack 1.1; imports nothing of ours.
"""

import os
import re
import urllib.parse

import spack.config
import spack.mirrors.mirror
import spack.paths
import spack.repo
import spack.util.path

# of `config`: what changes how a concrete spec is built or fetched
PORTABLE = (
    "allow_sgid", "build_language", "ccache", "checksum", "connect_timeout", "deprecated", "dirty", "flags",
    "install_hash_length", "installer", "locks", "shared_linking", "stage_name", "verify_ssl",
)  # fmt: skip
OF_THIS_MACHINE = ("build_stage", "source_cache", "ssl_certs")
OF_PACKAGES = ("package_attributes", "permissions")


def answer():
    """`{"scope": {section: value}, "here": …, "repositories": […], "needs": [sentence]}`; `here` is of this machine."""
    needs = []
    scope = {"config": {key: plain(spack.config.get(f"config:{key}")) for key in PORTABLE if is_foreign("config", key)}}
    here = {
        "config": {key: paths(spack.config.get(f"config:{key}")) for key in OF_THIS_MACHINE if is_foreign("config", key)}
    }
    fetch_method = spack.config.get("config:url_fetch_method")
    if is_foreign("config", "url_fetch_method") and isinstance(fetch_method, str) and fetch_method.strip():
        scope["config"]["url_fetch_method"] = fetch_method.split()[0]  # its options may hold credentials
    if is_foreign("config", "install_tree"):
        tree = spack.config.get("config:install_tree")
        if isinstance(tree, dict):
            scope["config"]["install_tree"] = {
                key: plain(tree[key]) for key in ("padded_length", "projections") if key in tree
            }
            here["config"]["install_tree"] = {"root": paths(tree["root"])}
        else:
            here["config"]["install_tree"] = paths(tree)
    mirrors = {name: mirror_entry(mirror, needs) for name, mirror in mirrors_in_order()}
    packages = spack.config.get("packages") or {}
    kept = {
        name: {key: plain(packages[name][key]) for key in OF_PACKAGES if key in packages[name]}
        for name in packages
        if is_foreign("packages", name) and any(key in packages[name] for key in OF_PACKAGES)
    }
    if kept:
        scope["packages"] = kept
    return {
        "scope": scope | {"mirrors": mirrors},
        "here": here,
        "repositories": [repository(each) for each in spack.repo.PATH.repos],
        "needs": needs,
    }


def is_foreign(section, key):
    """Whether a scope that is not Spack's own says something about a key of a section."""
    for scope in spack.config.CONFIG.scopes.values():
        if not is_own(scope):
            data = (scope.get_section(section) or {}).get(section)
            if isinstance(data, dict) and key in data:
                return True
    return False


def is_own(scope):
    return scope.name == "_builtin" or is_below(getattr(scope, "path", "") or "", spack.paths.prefix)


def is_below(path, folder):
    return os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)


def plain(value):
    """Without what Spack's YAML knows beside the value."""
    if isinstance(value, dict):
        return {str(key).rstrip(":"): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float)) or value is None else str(value)


def paths(value):
    """The same with whole paths: relative ones count from the file in which they stand."""
    if isinstance(value, (list, tuple)):
        return [paths(item) for item in value]
    if not isinstance(value, str):
        return plain(value)
    if value.startswith(("$", "~")):  # Spack's own words, which each user and each build replaces anew
        return str(value)
    return spack.util.path.canonicalize_path(value)


def mirrors_in_order():
    return list(spack.mirrors.mirror.MirrorCollection().items())


def mirror_entry(mirror, needs):
    """A mirror without credentials; adds to `needs` what is missing therefore."""
    data = mirror.to_dict()
    data = dict(data) if isinstance(data, dict) else {}
    entry = {"url": public_url(mirror.fetch_url), "source": mirror.source, "binary": mirror.binary, "signed": mirror.signed}
    fetch = data.get("fetch")
    for known in (data, fetch if isinstance(fetch, dict) else {}):
        for key in ("profile", "endpoint_url"):
            if known.get(key):
                entry[key] = public_url(str(known[key])) if key == "endpoint_url" else str(known[key])
        pair = known.get("access_pair")
        if isinstance(pair, dict) and {"id_variable", "secret_variable"} <= set(pair):
            entry["access_pair"] = {key: str(pair[key]) for key in ("id_variable", "secret_variable")}
        elif pair or known.get("access_token") or known.get("access_token_variable"):
            needs.append(f"mirror {mirror.name}: its credentials are not saved; add them if it asks for some")
        if "access_pair" in entry:
            needs.append(
                f"mirror {mirror.name}: set {entry['access_pair']['id_variable']} and "
                f"{entry['access_pair']['secret_variable']}"
            )
    if entry["url"] != mirror.fetch_url:
        needs.append(f"mirror {mirror.name}: its address is saved without its credentials; add them if it asks for some")
    if entry["url"].startswith("file:"):
        needs.append(f"mirror {mirror.name}: {entry['url']}, a folder of the machine that built this")
    return entry


def public_url(url):
    """The address without user, password, query and fragment: each may hold credentials."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("", "file"):
        return url
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def repository(repo):
    """A package repository: `reference` if each Spack of this version has it, empty `place` if it configures it as well."""
    root = repo.root
    if is_below(root, spack.paths.prefix):
        relative = os.path.relpath(os.path.realpath(root), os.path.realpath(spack.paths.prefix))
        return {"namespace": repo.namespace, "root": root, "reference": f"$spack/{relative}"}
    if repo.namespace == "builtin" and not is_foreign("repos", "builtin"):
        return {"namespace": repo.namespace, "root": root, "is_configured": True}
    python_path = getattr(repo, "python_path", None)
    place = os.path.relpath(root, python_path) if python_path else re.sub(r"\W", "_", repo.namespace)
    return {
        "namespace": repo.namespace,
        "root": root,
        "place": place,
        "packages": os.path.relpath(repo.packages_path, root),
    }


def recipe(spec):
    """Where the recipe of a spec lies: the namespace of its repository, and the folder's name in it; empty if unknown."""
    try:
        repo = spack.repo.PATH.get_repo(spec.namespace)
        return {"namespace": spec.namespace, "recipe": os.path.basename(repo.dirname_for_package_name(spec.name))}
    except Exception:  # no repository here has it; what is installed needs no recipe
        return {"namespace": str(spec.namespace or ""), "recipe": ""}
