"""Runs inside Spack's own Python (`spack python concretize.py QUESTION ANSWER`): what is to be built, and what is there.

QUESTION is JSON: {"specs": [text], "spec_files": [path], "environment": path, name or "", "hash": text, "fresh": bool,
"folder": path}; or {"lookup": [path of a concrete spec], "silent": [mirror], "read": bool}; or {"refresh": environment's
path or "", "mark": [hash]}. ANSWER gets {"error": text, "is_fetch": bool}; or the concretization (each concrete spec is in
FOLDER/HASH.json); or which of the specs the remote mirrors have, without asking the silent ones: {"available": {hash:
mirror}, "mirror_faults": [fault]}; or {"faults": [text]}: why views could not be refreshed.
Like `pack.py` it uses Spack's Python interface, is written for Spack 1.1, 1.2 and imports of ours only what lies beside it.
"""

import os
import sys

import spack
import spack.cmd
import spack.config
import spack.deptypes
import spack.environment
import spack.error
import spack.repo
import spack.spec
import spack.stage
import spack.store
import spack.traverse
import spack.util.git

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # `spack python` leaves it as it is
import exchange
import mirror_access
import reproduction
import sources
import views

LOCAL = mirror_access.LOCAL


def answer(question):
    if "lookup" in question:
        return lookup(question["lookup"], question["silent"], question["read"])
    if "refresh" in question:
        return refresh(question["refresh"], question["mark"])
    return concretize(question)


def concretize(request):
    if request["fresh"]:
        spack.config.set("concretizer:reuse", False, scope="command_line")
    environment = activate(request["environment"]) if request["environment"] else None
    faults = mirror_access.Faults()
    watch = mirror_access.IndexWatch(faults)
    roots = concrete_roots(request, environment)
    external = [
        f"{title(root)}: external ({root.external_path}), there is nothing to build" for root in roots if root.external
    ]
    roots = [root for root in roots if not root.external]
    if not roots:
        raise ValueError("; ".join(external))
    return described(environment, roots, request["folder"], faults) | {
        "external_roots": external,
        "index_asked": watch.asked,
    }


def described(environment, roots, folder, faults, mirrors=None):
    """All that the agent reads of a concretization; `mirrors` are asked for binaries, as far as they are folders."""
    mirrors = mirror_access.binary_mirrors() if mirrors is None else mirrors
    specs = in_order(roots)
    # what `spack install` marks as explicitly installed: of an environment its roots, whatever is asked for of it
    explicit = {root.dag_hash() for root in (environment.concrete_roots() if environment else roots)}
    records = installations(specs)
    developed, outdated = developers_folders(specs), outdated_builds(specs, records)
    return {
        "environment": environment.path if environment else "",
        "external_roots": [],
        "roots": [root.dag_hash() for root in roots],
        "specs": [
            concrete_spec(spec, folder, [] if developed[spec.dag_hash()] else mirrors, faults)
            | {
                "is_explicit": spec.dag_hash() in explicit,
                "develop_folders": developed[spec.dag_hash()],
                "outdated": spec.dag_hash() in outdated,
            }
            for spec in specs
        ],
        "unmarked": [dag_hash for dag_hash, record in records.items() if dag_hash in explicit and not record.explicit],
        "views": views.state(environment),
        "mirrors": [{"name": mirror.name, "url": mirror.fetch_url, "signed": mirror.signed} for mirror in mirrors],
        "mirror_faults": faults.all(),
        "secret_variables": secret_variables(),
        "stage_root": spack.stage.get_stage_root(),
        "spack_version": spack.spack_version,
        "spack_commit": spack.get_spack_commit() or "",
        "packages_commit": packages_commit(roots),
        "build_jobs": spack.config.determine_number_of_jobs(parallel=True),
        "configuration": reproduction.answer(),
    }


def activate(name_or_folder):
    """The environment, its configuration in force, so that its repositories, mirrors and install tree are used here."""
    if os.path.isdir(name_or_folder) and not spack.environment.is_env_dir(name_or_folder):
        raise ValueError(f"{name_or_folder}: there is no spack.yaml in it; Spack needs it beside the spack.lock")
    try:
        environment = spack.environment.environment_from_name_or_dir(name_or_folder)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:  # JSON that is not a lock file: Spack does not check it
        if exchange.is_of_configuration(error):  # a file that spack.yaml includes is missing
            raise
        raise ValueError(f"{name_or_folder}/spack.lock can't be read: {type(error).__name__}: {error}") from error
    spack.environment.activate(environment)
    return environment


def concrete_roots(request, environment):
    """The roots that are asked for, each once, concrete."""
    found = []
    if environment:
        found += from_environment(environment, request["hash"].lstrip("/"))
    found += [from_file(path) for path in request["spec_files"]]
    if request["specs"]:
        for text in request["specs"]:
            require_spec(text)
        found += concretized(request["specs"])
    return list({spec.dag_hash(): spec for spec in found}.values())


def concretized(texts):
    """The specs, concrete. Raises ValueError also where Spack breaks at the value of a variant instead of rejecting it."""
    try:
        return spack.cmd.parse_specs(texts, concretize=True)
    except AssertionError as error:
        if not str(error):  # nothing that would help the author of the spec
            raise
        raise ValueError(f"{' '.join(texts)}: {str(error).removeprefix('Internal Error: ')}") from error


def require_spec(text):
    """Raise ValueError for what Spack's parser breaks at; what it rejects itself is left to it."""
    try:
        spack.cmd.parse_specs([text])
    except (spack.error.SpackError, spack.error.SpecSyntaxError):
        raise
    except Exception as error:  # of any kind: the parser does not expect the end of the text everywhere
        raise ValueError(f"{text}: not a spec ({type(error).__name__}: {error})") from error


def from_environment(environment, wanted):
    """The environment's roots, or whatever in their graphs has the hash; nothing is ever concretized."""
    roots = environment.concrete_roots()
    if not roots:
        raise ValueError(f"{environment.path}: the environment has no lock; run 'spack -e {environment.path} concretize'")
    if wanted:
        matches = environment.get_by_hash(wanted)
        if len(matches) != 1:
            raise ValueError(f"{environment.path}: {len(matches)} specs have a hash that begins with '{wanted}'")
        return matches
    missing = [str(spec) for spec in environment.user_specs if spec not in environment.concretized_user_specs]
    if missing:
        raise ValueError(
            f"{environment.path}: the lock is older than spack.yaml, it lacks {', '.join(missing)}; "
            f"run 'spack -e {environment.path} concretize'"
        )
    return roots


def from_file(path):
    """The concrete spec that a file holds as JSON or YAML."""
    try:
        spec = spack.spec.Spec.from_specfile(path)
    except Exception as error:  # of any kind: Spack does not check what it reads
        is_of_file = isinstance(error, (spack.error.SpackError, OSError, ValueError))  # else of Spack's code
        reason = f" ({' '.join(str(error).split())})" if is_of_file and str(error) else ""
        raise ValueError(f"{path}: not a concrete spec as 'spack spec --json' prints it{reason}") from error
    if not spec.concrete:
        raise ValueError(f"{path}: the spec in it is not concrete")
    return spec


def title(spec):
    return f"{spec.name}@{spec.version}/{spec.dag_hash()[:7]}"


def in_order(roots):
    """Every spec of the roots' graphs once, dependencies first."""
    specs = list(spack.traverse.traverse_nodes(roots, order="topo", key=lambda spec: spec.dag_hash()))
    return specs[::-1]


def developers_folders(specs):
    """The folders of `spack develop` that each spec or its dependencies are built from, by hash; for most there are none.

    `specs` has dependencies first. A folder that is missing is an error, also of what is installed: it may be outdated.
    """
    folders = {}
    for spec in specs:
        own = spec.variants.get("dev_path")
        found = {own.value} if own else set()
        if own and not os.path.isdir(own.value):
            raise ValueError(f"{title(spec)}: the folder {own.value}, which it is developed in, does not exist")
        for dependency in spec.dependencies():
            found.update(folders[dependency.dag_hash()])
        folders[spec.dag_hash()] = sorted(found)
    return folders


def outdated_builds(specs, records):
    """The hashes of what is installed from sources of a developer's folder that have changed since, dependents included.

    As `spack install` of an environment decides it (`_dev_specs_that_need_overwrite`), and also where a dependent was not
    built again after its dependency, because a build in between failed or was interrupted.
    """
    outdated, newest = set(), {}
    for spec in specs:
        dag_hash = spec.dag_hash()
        record = records.get(dag_hash)
        dependencies = [dependency.dag_hash() for dependency in spec.dependencies()]
        newest[dag_hash] = max((newest[dependency] for dependency in dependencies), default=0.0)
        if record is None:
            continue
        if (
            newest[dag_hash] > record.installation_time
            or any(dependency in outdated for dependency in dependencies)
            or has_changed(spec)
        ):
            outdated.add(dag_hash)
        if spec.variants.get("dev_path"):
            newest[dag_hash] = max(newest[dag_hash], record.installation_time)
    return outdated


def has_changed(spec):
    own = spec.variants.get("dev_path")
    return bool(own) and os.path.isdir(own.value) and spec.package.detect_dev_src_change()


def installations(specs):
    """The records of what is installed in this Spack's own tree, by hash."""
    database = spack.store.STORE.db
    with database.read_transaction():
        found = {spec.dag_hash(): database.query_by_spec_hash(spec.dag_hash()) for spec in specs if not spec.external}
    return {
        dag_hash: record for dag_hash, (upstream, record) in found.items() if record and record.installed and not upstream
    }


def refresh(environment, hashes):
    """What `spack install` does beside installing: marks what was asked for, and shows in the views what is installed."""
    for dag_hash in hashes:
        for spec in spack.store.STORE.db.query_local(hashes=[dag_hash]):
            spack.store.STORE.db.mark(spec, "explicit", True)
    return {"faults": views.regenerate(activate(environment)) if environment else []}


def concrete_spec(spec, folder, mirrors, faults):
    """What the agent reads of a concrete spec; the whole of it is written to a file below the folder."""
    dag_hash = spec.dag_hash()
    path = os.path.join(folder, dag_hash + ".json")
    with open(path, "w", encoding="utf-8") as file:
        spec.to_json(file)
    return reproduction.recipe(spec) | {
        "hash": dag_hash,
        "name": spec.name,
        "version": str(spec.version),
        "spec_file": path,
        "prefix": str(spec.prefix),
        "stage_name": spack.stage.compute_stage_name(spec),
        "external": bool(spec.external),
        "installed": bool(spec.installed),
        "binary": "" if spec.external or spec.installed else binary(spec, mirrors, faults),
        "unfetchable": "" if spec.external or spec.installed else sources.unfetchable(spec),
        "architecture": str(spec.architecture),
        "compiler": compiler(spec),
        "variants": {name: variant_value(variant) for name, variant in sorted(spec.variants.items())},
        "dependencies": [
            {
                "name": edge.spec.name,
                "version": str(edge.spec.version),
                "hash": edge.spec.dag_hash(),
                "types": list(spack.deptypes.flag_to_tuple(edge.depflag)),
            }
            for edge in spec.edges_to_dependencies()
        ],
    }


def compiler(spec):
    for language in ("c", "cxx", "fortran"):
        for edge in spec.edges_to_dependencies():
            if language in edge.virtuals:
                return f"{edge.spec.name}@{edge.spec.version}"
    return ""


def variant_value(variant):
    value = variant.value
    return (
        [str(item) for item in value]
        if isinstance(value, (tuple, list))
        else value
        if isinstance(value, bool)
        else str(value)
    )


def binary(spec, mirrors, faults):
    """ "available" if a folder mirror has the binary and its signature is trusted, "untrusted", or "" for none.

    Remote mirrors are asked by `lookup`, in a process that has the credentials which this one lacks.
    """
    found = [mirror_access.state(mirror, spec, faults) for mirror in mirrors if mirror.fetch_url.startswith(LOCAL)]
    return next((state for state in ("available", "untrusted") if state in found), "")


def lookup(spec_files, silent, read):
    """Which of the specs some remote mirror has, signature trusted. Reads no recipe, so no package code runs.

    With `read` the binaries themselves are read, until one of them can't be.
    """
    faults = mirror_access.Faults(silent)
    remote = [mirror for mirror in mirror_access.binary_mirrors() if not mirror.fetch_url.startswith((*LOCAL, "oci://"))]
    for mirror in remote:
        if not faults.silent(mirror):
            mirror_access.probe(mirror, faults)
    available = {}
    for path in spec_files:
        spec = spack.spec.Spec.from_specfile(path)
        if read and (spec.installed or faults.all()):
            continue
        found = (mirror.name for mirror in remote if mirror_access.state(mirror, spec, faults, read=read) == "available")
        name = next(found, None)
        if name is not None:
            available[spec.dag_hash()] = name
    return {"available": available, "mirror_faults": faults.all()}


def secret_variables():
    """Names of the environment variables that the mirrors' configuration takes credentials from."""
    names = set()

    def collect(value):
        if isinstance(value, dict):
            for key, item in value.items():
                if key in ("secret_variable", "access_token_variable", "id_variable") and isinstance(item, str):
                    names.add(item)
                collect(item)
        elif isinstance(value, list):
            for item in value:
                collect(item)

    collect(spack.config.get("mirrors") or {})
    return sorted(names)


def packages_commit(roots):
    """The commit of the repository that the first root's recipe comes from; "" if it is not a git checkout."""
    try:
        folder = spack.repo.PATH.repo_for_pkg(roots[0]).root
        git = spack.util.git.git()
        return git("-C", folder, "rev-parse", "HEAD", output=str, error=os.devnull, fail_on_error=False).strip()
    except Exception:
        return ""


if __name__ == "__main__":
    exchange.answer_file(*sys.argv[1:], answer)
