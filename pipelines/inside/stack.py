"""An environment as Spack sees it: concretized or read from its lock; its specs, its configuration, how its specs match.

Written for Spack 1.1 and 1.2. A lock that has all that the manifest asks for is taken as it is.
"""

import json
import os
import re
import urllib.parse

import spack
import spack.config
import spack.deptypes
import spack.environment
import spack.error
import spack.repo
import spack.spec
import spack.traverse
import spack.util.path
import spack.util.spack_yaml

from . import git_heads, sizes
from .specs import BadRequest, Spec

MANIFEST, LOCK = "spack.yaml", "spack.lock"
ANCHOR, ALIAS = (re.compile(rf"(?:^|[\s\[{{,:]){mark}\w", re.MULTILINE) for mark in ("&", r"\*"))
MOST_VALUES = 1000000


class Stack:
    """An active environment with its concrete specs."""

    def __init__(self, environment, lock):
        self.environment = environment
        self.manifest_path = environment.manifest_path
        self.lock = lock
        # marks of these keys have had their effect where Spack merged its scopes
        self.config = {str(key): plain(item) for key, item in (spack.config.get("ci") or {}).items()}
        if not self.config:
            raise BadRequest(f"{environment.path}: the environment has no 'ci' section, which says how its jobs run")
        self.cdash = {str(key): plain(item) for key, item in (spack.config.get("cdash") or {}).items()}
        roots = list(roots_of(environment))
        hashes = {root.dag_hash() for root in roots}
        nodes = spack.traverse.traverse_nodes(roots, deptype=spack.deptypes.ALL_TYPES, key=lambda spec: spec.dag_hash())
        self.nodes = {node.dag_hash(): node for node in nodes}
        self.specs = {key: as_value(node, key in hashes) for key, node in self.nodes.items()}
        self.patterns = {}
        self.packages = {}

    def matches(self, key, text):
        """Whether a spec of the stack and a spec as text intersect, as Spack's match lists decide it."""
        pattern, is_package = self.pattern(text)
        if is_package and pattern.name != self.specs[key].name:
            return False
        return self.nodes[key].intersects(pattern)

    def covers(self, first, second):
        """Whether whatever matches the second text matches the first one, too."""
        (wider, _), (narrower, _) = self.pattern(first), self.pattern(second)
        if wider.name and wider.name != narrower.name:
            return False
        try:
            return narrower.satisfies(wider)
        except spack.error.SpackError:
            return False

    def pattern(self, text):
        """A spec as text, parsed once, and whether its name is a package's: a virtual one is provided by others."""
        if text not in self.patterns:
            try:
                parsed = spack.spec.Spec(text)
            except Exception as error:  # of any kind: the parser does not expect the end of the text everywhere
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise BadRequest(f"'{text}' is no spec: {reason}") from error
            self.patterns[text] = parsed, bool(parsed.name) and spack.repo.PATH.exists(parsed.name)
        return self.patterns[text]

    def variables(self, key):
        """The variables that say which spec a job builds, with Spack's names and values."""
        spec, node = self.specs[key], self.nodes[key]
        return {
            "SPACK_JOB_SPEC_DAG_HASH": key,
            "SPACK_JOB_SPEC_PKG_NAME": spec.name,
            "SPACK_JOB_SPEC_PKG_VERSION": spec.version,
            "SPACK_JOB_SPEC_COMPILER_NAME": node.format("{compiler.name}"),
            "SPACK_JOB_SPEC_COMPILER_VERSION": node.format("{compiler.version}"),
            "SPACK_JOB_SPEC_ARCH": spec.architecture,
            "SPACK_JOB_SPEC_VARIANTS": spec.variants,
        }

    def cdash_name(self, key):
        """The build's name on CDash, as Spack has it."""
        group = self.cdash["build-group"]
        return "{} ({})".format(self.nodes[key].format("{name}{@version}{%compiler} hash={hash} arch={architecture}"), group)


def opened(place, fresh):
    """The environment of a folder, a name, or a lock file; active, and concrete."""
    # Spack takes whatever is no environment's folder for a name, and raises ValueError for what no name can be.
    if not spack.environment.is_env_dir(place) and not spack.environment.environment.valid_env_name(place):
        raise BadRequest(f"{place}: there is no {MANIFEST} in it; give an environment's folder, its name or its {LOCK}")
    if fresh:
        spack.config.set("concretizer:reuse", False, scope="command_line")
    require_bounded(os.path.join(place, MANIFEST))
    try:
        environment = spack.environment.environment_from_name_or_dir(place)
        if environment is None:
            raise BadRequest(f"{place}: neither an environment's name nor its folder")
        # as `spack -e` does it; `activate` also checks views and reads all configuration again
        environment.manifest.prepare_config_scope()
        spack.environment.environment._active_environment = environment
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:  # Spack does not check what it reads
        raise BadRequest(f"{place}: its {LOCK} can't be read ({type(error).__name__}: {error})") from error
    return Stack(environment, concretized(environment))


def require_bounded(path):
    """Raise BadRequest for a manifest that aliases make endlessly large: Spack checks a value as often as it is named."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError):
        return  # an environment by its name, or what Spack itself rejects
    if not (ALIAS.search(text) and ANCHOR.search(text)):
        return
    try:
        document = spack.util.spack_yaml.load(text)
    except spack.error.SpackError:
        return
    if expanded(document) > MOST_VALUES:
        raise BadRequest(f"{path}: its aliases stand for more than {MOST_VALUES} values, or for themselves")


def expanded(document):
    """How many values a document has where each alias is written out; infinite if one stands within what it names."""
    counts, open_ = {}, set()

    def count(value):
        if not isinstance(value, (dict, list)):
            return 1
        if id(value) in open_:
            return float("inf")
        if id(value) not in counts:
            open_.add(id(value))
            counts[id(value)] = 1 + sum(count(item) for item in (value.values() if isinstance(value, dict) else value))
            open_.remove(id(value))
        return counts[id(value)]

    return count(document)


def concretized(environment):
    """The text of the lock: the file's own if it has all that the manifest asks for, else after concretizing."""
    known = environment.concretized_user_specs
    if environment.user_specs and all(spec in known for spec in environment.user_specs):
        with open(environment.lock_path, encoding="utf-8") as file:
            return file.read()
    if not environment.user_specs:
        raise BadRequest(f"{environment.path}: the environment asks for no spec")
    environment.concretize()
    # what Spack writes; the user's folder is left as it is
    return json.dumps(environment._to_lockfile_dict(), separators=(",", ":"))


def roots_of(environment):
    for abstract, concrete in environment.concretized_specs():
        if abstract in environment.user_specs:
            yield concrete


def as_value(node, is_root):
    """The plain value of a concrete spec."""
    compiler = next(
        (
            edge.spec
            for language in ("c", "cxx", "fortran")
            for edge in node.edges_to_dependencies()
            if language in edge.virtuals
        ),
        None,
    )
    on = [name for name in sizes.EXPENSIVE if name in node.variants and node.variants[name].value is True]
    system = node.variants.get("build_system")
    return Spec(
        key=node.dag_hash(),
        name=node.name,
        version=str(node.version),
        text=" ".join(node.format("{name}{@version} {variants} arch={architecture}").split()),
        compiler_name=compiler.name if compiler else "",
        compiler_version=str(compiler.version) if compiler else "",
        architecture=str(node.architecture),
        variants=node.format("{variants}").strip(),
        build_system=value_of(system) if system else "",
        expensive="".join("+" + name for name in on),
        recipe=str(getattr(node, "_package_hash", "") or ""),
        external=str(node.external_path or "in " + str(node.external_modules)) if node.external else "",
        dependencies=tuple(
            sorted({edge.spec.dag_hash() for edge in node.edges_to_dependencies(depflag=spack.deptypes.ALL)})
        ),
        is_root=is_root,
    )


def value_of(variant):
    value = variant.value
    return str(value[0] if isinstance(value, (tuple, list)) else value)


def manifest(stack, folder):
    """The text of the manifest for the jobs, in `folder`; relative includes are made relative to it."""
    with open(stack.manifest_path, encoding="utf-8") as file:
        text = file.read()
    data = spack.util.spack_yaml.load(text)
    includes = data["spack"].get("include")
    own = os.path.dirname(os.path.realpath(stack.manifest_path))
    if not includes or not any(is_relative(path_of(include)) for include in includes):
        return text
    found = []
    for include in includes:
        moved = (
            os.path.relpath(os.path.join(own, path_of(include)), folder)
            if is_relative(path_of(include))
            else path_of(include)
        )
        if isinstance(include, dict):
            include["path"] = moved
            found.append(include)
        else:
            found.append(moved)
    data["spack"]["include"] = found
    return spack.util.spack_yaml.dump(data)


def path_of(include):
    return spack.util.path.substitute_path_variables(include["path"] if isinstance(include, dict) else include)


def is_relative(path):
    parsed = urllib.parse.urlsplit(path)
    return parsed.scheme in ("", "file") and not os.path.isabs(parsed.path)


def commits():
    """The commit of Spack, or its version, and that of the package repositories."""
    own = git_heads.commit(spack.paths.prefix) or f"v{spack.spack_version}"
    of_repos = [git_heads.commit(repo.root) for repo in spack.repo.PATH.repos]
    return own, next((commit for commit in of_repos if commit and commit != own), "")


MARKS = (("override", ":"), ("prepend", "+"), ("append", "-"))


def mark_of(key):
    """How a key of Spack's configuration says that it replaces, or goes before or behind, what is there already."""
    if str(key)[-1:] in (":", "+", "-"):  # of `a-::` Spack's generator sees the second mark only
        return ""
    return next((mark for name, mark in MARKS if getattr(key, name, False)), "")


def plain(value):
    """A value of the configuration with plain types: Spack's carry where they come from.

    `key::` of a file is `key:` here, as in `ci_section.marked`: Spack takes the mark off and keeps it beside the text.
    """
    if isinstance(value, dict):
        return {str(key) + mark_of(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)
