"""Runs in Spack's own Python: random `ci:` sections, read by Spack, mean to our generator what they mean to Spack's own.

    spack python compare_ci_sections.py PIPELINES SEED COUNT

PIPELINES is the folder of the package `pipelines`. Prints one JSON object: how many sections were compared, how many both
sides reject, the marks of keys that were used, and the first differences.
"""

import collections
import json
import os
import random
import sys
import tempfile

sys.path.append(sys.argv[1])

import spack.ci.common
import spack.config
from inside import ci_section, stack

NAMES = ("alpha", "beta", "gamma")
MARKS = ("", "", "", ":", "+", "-")
"""What follows a key in the file, before its own colon."""
OUTER = ("", "", ":")
"""What the schema allows behind the keys of a section."""
WORDS = ("one", "two", "three", "x-y", "$VALUE", "with space", "colon: inside", "ends:", "é", "1", "true")


class Spec:
    def __init__(self, name):
        self.name = name

    def dag_hash(self):
        return self.name * 2

    def format(self, text):
        return text.strip("{}")

    def intersects(self, text):
        return self.name.startswith(text)


class Node:
    def __init__(self, spec):
        self.spec = spec


class Dag:
    def traverse_nodes(self):
        return [(0, Node(Spec(name))) for name in NAMES]


def key(chance, name, used, marks=MARKS):
    mark = chance.choice(marks)
    used[mark] += 1
    return name + mark


def words(chance, most=3):
    return [chance.choice(WORDS) for _ in range(chance.randrange(0, most + 1))]


def script(chance):
    return [words(chance, 2) if chance.random() < 0.2 else word for word in words(chance)]


def attributes(chance, used):
    kinds = {
        "image": lambda: chance.choice(["a:1", "b:2", {key(chance, "name", used): "c:3", key(chance, "entrypoint", used): words(chance)}]),
        "tags": lambda: words(chance) + chance.choice([[], ["public"], ["protected", "notary"]]),
        "variables": lambda: {
            key(chance, chance.choice(["A", "B", "CC"]), used): chance.choice([*WORDS, 1, 2.5]) for _ in range(chance.randrange(0, 4))
        },
        "before_script": lambda: script(chance),
        "script": lambda: script(chance),
        "after_script": lambda: script(chance),
        "services": lambda: chance.choice([words(chance), [{"name": "db:1", "alias": "db"}], ["db:1"]]),
        "environment": lambda: chance.choice(["staging", "production", {"name": "x", key(chance, "url", used): "https://x"}]),
        "timeout": lambda: chance.choice(["1h", "30m", None]),
        "retry": lambda: chance.choice([1, {"max": 2, key(chance, "when", used): ["always"]}]),
        "cache": lambda: {key(chance, "paths", used): words(chance), key(chance, "key", used): {key(chance, "files", used): ["a"]}},
        "interruptible": lambda: chance.choice([True, False]),
        "id_tokens": lambda: {"T": {key(chance, "aud", used): chance.choice(["x", ["y", "z"]])}},
    }
    chosen = chance.sample(sorted(kinds), chance.randrange(0, 5))
    return {key(chance, name, used): kinds[name]() for name in chosen}


def section(chance, used):
    if chance.random() < 0.3:
        rows = []
        for _ in range(chance.randrange(1, 4)):
            row = {key(chance, "match", used, OUTER): chance.sample(["alp", "beta", "gam", "", "none"], chance.randrange(1, 3))}
            if chance.random() < 0.8:
                row[key(chance, "build-job", used, OUTER)] = attributes(chance, used)
            if chance.random() < 0.3:
                row[key(chance, "build-job-remove", used, OUTER)] = attributes(chance, used)
            rows.append(row)
        made = {key(chance, "submapping", used, OUTER): rows}
        if chance.random() < 0.6:
            made[key(chance, "match_behavior", used, OUTER)] = chance.choice(["first", "merge"])
        return made
    name = chance.choice(["any", "any", "build", "build", "copy", "cleanup", "noop", "reindex", "signing"])
    made = {}
    if chance.random() < 0.8:
        made[key(chance, name + "-job", used, OUTER)] = attributes(chance, used)
    if not made or chance.random() < 0.3:
        made[key(chance, name + "-job-remove", used, OUTER)] = attributes(chance, used)
    return made


def scopes(chance, folder, used):
    """Write one or two scopes, the second of which is stronger."""
    found = []
    for number in range(chance.choice([1, 1, 2])):
        place = os.path.join(folder, f"scope-{number}")
        os.makedirs(place, exist_ok=True)
        content = {"pipeline-gen" + chance.choice(["", "", ":", ":", "-"]): [section(chance, used) for _ in range(chance.randrange(1, 6))]}
        if chance.random() < 0.3:
            content[key(chance, "rebuild-index", used, OUTER)] = chance.choice([True, False])
        with open(os.path.join(place, "ci.yaml"), "w", encoding="utf-8") as file:
            json.dump({"ci" + chance.choice(["", ":"]): content}, file)  # JSON is YAML
        found.append(spack.config.DirectoryConfigScope(f"{folder}-{number}", place))
    return found


def theirs():
    config = spack.ci.common.SpackCIConfig(spack.config.get("ci"))
    config.init_pipeline_jobs(Dag())
    jobs = config.generate_ir()["jobs"]
    specs = {name: jobs[name * 2]["attributes"] for name in NAMES}
    for attributes in specs.values():
        # sections can take these away, and then Spack's job does not say what it builds
        attributes["variables"] = {name: value for name, value in attributes.pop("variables", {}).items() if not name.startswith("SPACK_JOB")}
    return specs, {name: jobs[name]["attributes"] for name in ci_section.OTHERS}


def ours():
    ways = ci_section.Specs(lambda key, text: key.startswith(text), lambda _wide, _narrow: False, None, "last")
    found = ci_section.jobs({str(key): stack.plain(item) for key, item in spack.config.get("ci").items()}, {name: {} for name in NAMES}, ways)
    for attributes in found.specs.values():
        attributes["variables"] = attributes.pop("variables")
    return found.specs, found.named


def bare(value):
    """Plain types; the order of keys counts, as it does in a YAML file."""
    if isinstance(value, dict):
        return {str(name): bare(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [bare(item) for item in value]
    return value if isinstance(value, (bool, int, float)) or value is None else str(value)


def outcome(side):
    try:
        specs, named = side()
    except Exception as error:
        return f"rejected: {type(error).__name__}: {error}"
    # the one script of Spack's own that no section can change
    for name in ("reindex", "cleanup"):
        named[name].pop("script", None)
    return bare(specs), bare(named)


def main():
    seed, count = int(sys.argv[2]), int(sys.argv[3])
    defaults = ["cd {env_dir}", "spack env activate --without-view .", "spack ci rebuild"]
    ci_section._DEFAULTS[0] = {"build-job": {"script": defaults}}
    ci_section._DEFAULTS[:] = [each for each in ci_section._DEFAULTS if "reindex-job" not in each]
    ci_section._require_chances = lambda *_: []  # a row that can never count is rejected on purpose
    used, rejected, differing = collections.Counter(), 0, []
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        with tempfile.TemporaryDirectory() as folder:
            with spack.config.use_configuration(*scopes(chance, folder, used)):
                try:
                    spack.config.get("ci")
                except Exception:
                    rejected += 1
                    continue
                text = json.dumps(bare(spack.config.get("ci")), ensure_ascii=False)
                mine, their = outcome(ours), outcome(theirs)
                if isinstance(mine, str) and isinstance(their, str):
                    rejected += 1
                elif json.dumps(mine) != json.dumps(their):
                    files = [open(os.path.join(folder, each, "ci.yaml")).read() for each in sorted(os.listdir(folder))]
                    differing.append({"number": number, "files": files, "ci": text, "ours": mine, "theirs": their})
    print(json.dumps({"compared": count - rejected, "rejected": rejected, "marks": used, "different": len(differing), "first": differing[:3]}))


main()
