"""`show`: what a spec would get, and why."""

import sys
from pathlib import Path

from sizing.cli.arguments import Arguments, history, policy_settings
from sizing.cli.fit import moment, priors_in
from sizing.cli.written import policy_named
from sizing.errors import BadRequest
from sizing.fit import fit
from sizing.history.history import open_history
from sizing.page import page
from sizing.report import as_text
from sizing.specs import keys_of
from sizing.training import training

_MOST_BUILDS = 50


def run(arguments: Arguments) -> int:
    """Print the report, and write the page where one is asked for. Raises SizingError."""
    policy = policy_named(arguments.policy)
    keys = keys_of(arguments.spec)
    now, settings, priors = moment(arguments.now), policy_settings(arguments), priors_in(arguments.prior)
    with open_history(history(arguments)) as opened:
        observations = training(opened, now=now, settings=settings)
        name = next((key for key in reversed(keys) if key != "*" and not key.startswith("build_system=")), "")
        builds = [build for build in opened.builds(name=name) if build.ended <= now]
    fitted = fit(observations, priors, policy=policy, now=now, settings=settings)
    sys.stdout.write(as_text(fitted, keys, builds[-_MOST_BUILDS:]))
    if arguments.page:
        chosen = next((fitted.rows[key] for key in keys if key in fitted.rows), None)
        text = page(keys[0], as_text(fitted, keys, builds), builds, chosen)
        try:
            Path(arguments.page).write_text(text, "utf-8")
        except OSError as error:
            raise BadRequest(f"--page {arguments.page}: can't be written: {error.strerror}") from error
    return 0
