"""Runs inside Spack's own Python (`spack python rebuild.py QUESTION ANSWER`): what a job of `spack ci generate` needs first.

QUESTION is JSON: {"environment": path, "hash": text, "folder": path, "is_verified": bool, "is_protected": bool,
"rebuilds_all": bool}. When the configuration is read, a line of its output names the variables that mirrors take credentials
from; their values come as one line of JSON on its input. Until then this process has none. ANSWER gets what
`concretize.py` answers, and {"ci": the job's part of the configuration, "has_tests": bool, "test_id": text, "archived":
[pattern], "up_to_date": [url], "fetched": [hash], "missing": [{"hash", "state"}], "fetch_error": text, "is_broken": bool}.
Dependencies come from the mirrors only, and are installed here.
Written for Spack 1.1, 1.2; imports of ours only what lies beside it.
Source: Spack 1.1, lib/spack/spack/cmd/ci.py (`ci_rebuild`).
"""

import json
import os
import sys

import spack.builder
import spack.config
import spack.error
import spack.install_test
import spack.mirrors.mirror
import spack.spec
import spack.util.url
import spack.util.web
from spack.llnl.util import tty

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # `spack python` leaves it as it is
import concretize
import exchange
import install
import mirror_access

DESTINATION = "buildcache-destination"
LONGEST_ERROR = 300
CREDENTIALS = "spack-farm credentials "
"""Begins the line of output that names variables."""


def answer(question):
    environment = concretize.activate(question["environment"])
    ci = spack.config.get("ci")
    if not ci:
        raise ValueError(f"{environment.path}: the environment has no section 'ci'; 'spack ci generate' needs one, too")
    mirrors = spack.mirrors.mirror.MirrorCollection(binary=True)
    if DESTINATION not in mirrors:
        raise ValueError(f"{environment.path}: no binary mirror is named {DESTINATION}; add it to the section 'mirrors'")
    found = concretize.from_environment(environment, question["hash"])
    faults = mirror_access.Faults()
    described = concretize.described(environment, found, question["folder"], faults, mirrors=[])
    described["ci"] = job_configuration(ci, mirrors[DESTINATION])
    described["has_tests"] = has_tests(found[0])
    described["archived"] = archived(found[0])
    described["test_id"] = spack.install_test.TestSuite.test_pkg_id(found[0])
    # credentials: from here on
    given = ask_credentials(described["secret_variables"])
    os.environ.update(given)  # noqa: TID251  Spack reads them there
    if not question["is_verified"]:
        accept_unsigned(mirrors)
    asked = [mirror for mirror in mirror_access.binary_mirrors() if not mirror.fetch_url.startswith("oci://")]
    described["mirrors"] = [{"name": each.name, "url": each.fetch_url, "signed": each.signed} for each in asked]
    (root,) = found
    up_to_date = []
    if not question["rebuilds_all"]:
        up_to_date = [each.fetch_url for each in asked if mirror_access.state(each, root, faults) == "available"]
    result = {"up_to_date": up_to_date, "fetched": [], "missing": [], "fetch_error": ""}
    if not up_to_date:
        result["is_broken"] = question["is_protected"] and is_listed_as_broken(described["ci"]["broken_specs_url"], root)
        result |= fetch_dependencies(root, described["specs"], asked, faults, is_verified=question["is_verified"])
    return described | result | {"mirror_faults": faults.all()}


def job_configuration(ci, destination):
    """What of the configuration a job needs beside mirrors; it holds no credentials."""
    cdash = spack.config.get("cdash") or {}
    pair = destination._get_value("access_pair", "push")
    pair = pair if isinstance(pair, dict) else {}
    return {
        "destination": {
            "url": destination.push_url,
            "signed": destination.signed,
            "endpoint_url": destination.get_endpoint_url("push") or "",
            "profile": destination.get_profile("push") or "",
            "id": str(pair.get("id") or ""),
            "id_variable": str(pair.get("id_variable") or ""),
            "secret_variable": str(pair.get("secret_variable") or ""),
            "token_variable": str(destination._get_value("access_token_variable", "push") or ""),
        },
        "cdash": {
            "url": str(cdash.get("url") or ""),
            "project": str(cdash.get("project") or ""),
            "site": str(cdash.get("site") or ""),
            "group": str(cdash.get("build-group") or ""),
        },
        "broken_specs_url": str(ci.get("broken-specs-url") or ""),
        "broken_tests": [str(name) for name in ci.get("broken-tests-packages") or []],
        "verify_ssl": bool(spack.config.get("config:verify_ssl", True)),
    }


def has_tests(spec):
    """Whether a package may have stand-alone tests; a process that runs them takes as long as a small build."""
    try:
        return bool(spack.install_test.test_function_names(spec.package, add_virtuals=True))
    except Exception:  # of any kind: a recipe's own code; the tests will tell
        return True


def archived(spec):
    """What the recipe wants to be kept of a build beside its log, as patterns of files below the stage folder."""
    try:
        stage, patterns = spec.package.stage.path, spack.builder.create(spec.package).archive_files
        below = [os.path.relpath(os.path.join(stage, pattern), stage) for pattern in patterns]
    except Exception:  # of any kind: as above
        return []
    return [pattern for pattern in below if pattern.split(os.sep)[0] not in (os.pardir, os.curdir)]


def ask_credentials(names):
    """Ask the agent for the values of variables; those that are not set are not in the answer."""
    sys.stdout.write(CREDENTIALS + json.dumps(names) + "\n")
    sys.stdout.flush()
    line = sys.stdin.readline()
    return json.loads(line) if line.strip() else {}


def is_listed_as_broken(url, spec):
    """Whether the list of broken specs has it; a list that does not answer is none of the build's business."""
    try:
        return bool(url) and spack.util.web.url_exists(spack.util.url.join(url, spec.dag_hash()))
    except Exception:  # of any kind: Spack does not expect all that a server may answer
        return False


def accept_unsigned(mirrors):
    """Let Spack take what no key has signed, as `spack ci rebuild` does for pull requests, and where no key is known."""
    for name, mirror in mirrors.items():
        data = mirror.to_dict()
        changed = {**(data if isinstance(data, dict) else {"url": data}), "signed": False}
        spack.config.set(f"mirrors:{name}", changed, scope="command_line")


def needed_for(root):
    """What has to be installed before the root is built, dependencies first; compilers of dependencies need not be."""
    needed = {}

    def need(spec):
        if spec.dag_hash() in needed or spec.external:
            return
        for dependency in spec.dependencies(deptype=("link", "run")):
            need(dependency)
        needed[spec.dag_hash()] = spec

    for dependency in root.dependencies(deptype=("build", "link", "run")):
        need(dependency)
    return list(needed.values())


def hear_errors():
    """Return a list that gets what Spack says of packages that it can't install, beside where it says it."""
    said, original = [], tty.error

    def error(message, *rest, **options):
        said.append(" ".join(str(message).split())[:LONGEST_ERROR])
        original(message, *rest, **options)

    tty.error = error
    return said


def fetch_dependencies(root, described, mirrors, faults, *, is_verified):
    """Install from the mirrors what the root's build needs, or say what they lack."""
    absent = [spec for spec in needed_for(root) if not spec.installed]
    error = ""
    if absent:
        files = {each["hash"]: each["spec_file"] for each in described}
        check = () if is_verified else ("--no-check-signature",)
        said = hear_errors()
        try:
            install.main("none", "none", "none", "--cache-only", *check, *(files[spec.dag_hash()] for spec in absent))
        except spack.error.SpackError as failure:
            # the failure itself may only say that errors were reported
            error = (said or [str(failure).strip() or type(failure).__name__])[0]
    by_hash = {each["hash"]: each for each in described}
    fetched, missing = [], []
    for spec in absent:
        dag_hash = spec.dag_hash()
        if spec.installed:
            by_hash[dag_hash]["installed"] = True
            fetched.append(dag_hash)
        else:
            # Spack says only that it found none; a mirror that has it may not have answered
            states = [mirror_access.state(mirror, spec, faults, read=True) for mirror in mirrors]
            state = next((known for known in ("available", "untrusted") if known in states), "")
            missing.append({"hash": dag_hash, "state": state})
    return {"fetched": fetched, "missing": missing, "fetch_error": error if missing else ""}


if __name__ == "__main__":
    exchange.answer_file(*sys.argv[1:], answer)
