"""What the agent writes to a `spack-farm publish` that it has started ahead of its time: one line of JSON, then nothing."""

import msgspec


class PrestartedInput(msgspec.Struct, frozen=True, kw_only=True):
    """The line of input that a prestarted `spack-farm publish` waits for."""

    environment: dict[str, str]
    held: dict[str, bytes] = {}
    """Option -> what a pipe gave for it: no other process can read that again."""
