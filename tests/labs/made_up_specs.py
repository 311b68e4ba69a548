"""Concrete specs as the generator of pipelines sees them, made up."""

from typing import Any

from pipelines.inside.specs import Spec


def spec(name: str = "zlib", **changes: Any) -> Spec:
    """Return a spec; `changes` replace its fields."""
    plain = Spec(
        key="h" * 32,
        name=name,
        version="1.3.1",
        text=name,
        compiler_name="gcc",
        compiler_version="13.2.0",
        architecture="linux-debian12-x86_64_v3",
        variants="",
        build_system="makefile",
        expensive="",
        recipe="",
        external="",
        dependencies=(),
        is_root=False,
    )
    return plain._replace(**changes)
