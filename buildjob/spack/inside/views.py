"""Runs inside Spack's own Python, for `concretize.py`: whether an environment's views show what is installed; mends them.

Written for Spack 1.1: the parts of its views that are used here are its own.
"""

import spack.error


def state(environment):
    """ "current" if every view of the environment shows what is installed, "outdated" if not, "" if there is no view."""
    if environment is None or not environment.views:
        return ""
    roots = environment.concrete_roots()
    for view in prepared(environment.views.values()):
        if view._current_root != view._next_root(view.specs_for_view(roots)):
            return "outdated"
    return "current"


def prepared(views):
    """The views, each with a cheaper way to the same result.

    To find the runtimes Spack's own reads every recipe where no cache has their tags, as in a fresh pod: a minute for 8,000.
    """
    for view in views:
        view._exclude_duplicate_runtimes = without_old_runtimes
        yield view


def without_old_runtimes(specs):
    """The specs without the older ones of two runtimes of the same name."""
    newest = {}
    for spec in specs:
        newest[spec.name] = max(newest.get(spec.name, spec), spec, key=lambda one: one.version)
    names = [spec.name for spec in specs]
    return [
        spec
        for spec in specs
        if spec is newest[spec.name] or names.count(spec.name) == 1 or "runtime" not in getattr(spec.package, "tags", [])
    ]


def regenerate(environment):
    """Let all views show what is installed; return why some can't, a sentence for each."""
    faults = []
    with environment.write_transaction():
        for view in prepared(list(environment.views.values())):
            try:
                view.regenerate(environment.concrete_roots())
            except (spack.error.SpackError, OSError) as error:
                faults.append(f"{view.root}: {str(error).strip() or type(error).__name__}")
    return faults
