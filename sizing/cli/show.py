"""`show`: what a spec would get, and why."""

import sys
from pathlib import Path

from sizing.cli.arguments import Arguments, history, policy_settings
from sizing.cli.fit import moment, priors_in
from sizing.cli.written import policy_named
from sizing.errors import BadRequest, SourceError
from sizing.fit import fit
from sizing.history.history import History, open_history
from sizing.page import page
from sizing.report import as_text
from sizing.specs import keys_of
from sizing.targets.file import File
from sizing.training import training

_MOST_BUILDS = 50


def run(arguments: Arguments) -> int:
    """Print the report, and write the page where one is asked for. Raises SizingError."""
    policy = policy_named(arguments.policy)
    keys = keys_of(arguments.spec)
    now, settings, priors = moment(arguments.now), policy_settings(arguments), priors_in(arguments.prior)
    with open_history(history(arguments), makes=False) as opened:
        observations = training(opened, now=now, settings=settings)
        if keys[0].startswith("/"):
            keys = _of_hash(opened, keys)
        builds = [build for build in opened.builds(name=_package(keys)) if build.ended <= now]
    fitted = fit(observations, priors, policy=policy, now=now, settings=settings, only=keys)
    sys.stdout.write(as_text(fitted, keys, builds, most=_MOST_BUILDS))
    if arguments.page is not None:
        chosen = next((fitted.rows[key] for key in keys if key in fitted.rows), None)
        text = page(keys[0], as_text(fitted, keys, builds), builds, chosen)
        try:
            File(Path(arguments.page)).write(text.encode())
        except SourceError as error:
            raise BadRequest(f"--page {error}") from error
    return 0


def _of_hash(opened: History, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys of the builds whose hash begins as given: all that a spec is hangs on it. Raises BadRequest."""
    name, dag_hash = _package(keys), keys[0].removeprefix("/")
    found = {build.dag_hash: build for build in opened.builds(name=name or None, dag_hash=dag_hash)}
    if len(found) > 1:
        named = ", ".join(f"{build.name}@{build.version}/{build.dag_hash}" for build in list(found.values())[:3])
        raise BadRequest(f"/{dag_hash} is the beginning of several hashes: {named}; give more of it")
    return next((build.keys() for build in found.values()), keys)


def _package(keys: tuple[str, ...]) -> str:
    """Return the name of the package; nothing if there is only a hash."""
    named = (key for key in reversed(keys) if key != "*" and not key.startswith(("build_system=", "/")))
    return next(named, "")
