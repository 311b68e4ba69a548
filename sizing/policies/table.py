"""The policies by the name that `--policy` and the table of sizes give them."""

from collections.abc import Mapping

from sizing.policies import Policy, max_margin

POLICIES: Mapping[str, Policy] = {
    "max_margin": max_margin.ladder,
}
