"""A realistic build log for measuring: a C++ project built by CMake and make after a configure step, seeded.

Compile lines with include paths of dependencies, progress, make, libtool, installs; about 1 % of the lines are warnings with
their notes and carets, one line in 4,000 an error. `python -m scripts.benches.parts.build_log MEGABYTES [SEED]`
writes it to standard output.
"""

import random
import sys
from collections.abc import Iterator

_FOLDERS = ("src", "src/core", "lib/io", "modules/mesh/src", "third_party/json", "include/detail", "tools/convert")
_NAMES = ("vector", "solver", "mesh", "reader", "writer", "table", "field", "kernel", "tensor", "graph", "options", "clock")
_STAGE = "/scratch/builder/spack-stage/spack-stage-solverkit-4.2.0-k7mqz3w5h2x6yqf4d5r7n2a3b4c5e6f7"
_STORE = "/home/builder/spack/opt/spack/linux-x86_64_v3"
_HASH_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_CHECKS = (
    "stdlib.h",
    "sys/mman.h",
    "pthread_create",
    "a BSD-compatible install",
    "whether gcc accepts -g",
    "size of long long",
)
_WARNINGS = (
    "unused variable 'rest' [-Wunused-variable]",
    "comparison of integer expressions of different signedness: 'int' and 'std::size_t' [-Wsign-compare]",
    "'void kit::Mesh<T>::refine(int) [with T = double]' is deprecated: use split() [-Wdeprecated-declarations]",
    "'char* strncpy(char*, const char*, size_t)' specified bound 16 equals destination size [-Wstringop-truncation]",
)


def build_log(*, size_bytes: int, seed: int) -> Iterator[bytes]:
    """Yield whole lines, together at least `size_bytes`; equal arguments give equal bytes."""
    dice = random.Random(seed)  # noqa: S311  a log, not a key
    includes = " ".join(
        f"-I{_STORE}/{name}-{_digits(dice)}-{_hash(dice)}/include" for name in ("zlib", "hdf5", "openmpi", "boost")
    )
    written = 0
    while written < size_bytes:
        luck = dice.random()
        lines = _error(dice) if luck < 0.0004 else _warning(dice) if luck < 0.0114 else _ordinary(dice, includes)
        block = "".join(f"{line}\n" for line in lines).encode()
        written += len(block)
        yield block


def _digits(dice: random.Random) -> str:
    return f"{dice.randrange(9)}.{dice.randrange(20)}.{dice.randrange(9)}"


def _hash(dice: random.Random) -> str:
    return "".join(dice.choice(_HASH_LETTERS) for _ in range(32))


def _source(dice: random.Random, extension: str = "cpp") -> str:
    return f"{dice.choice(_FOLDERS)}/{dice.choice(_NAMES)}_{dice.randrange(5000)}.{extension}"


def _ordinary(dice: random.Random, includes: str) -> list[str]:
    luck = dice.random()
    source = _source(dice)
    if luck < 0.36:
        wrapper = f"{_STORE}/compiler-wrapper-1.0-{'q' * 32}/libexec/spack/gcc/g++"
        flags = f"-DKIT_SHARED -D_FORTIFY_SOURCE=2 {includes} -O3 -g -DNDEBUG -std=c++17 -fPIC -Wall -Wextra"
        return [f"{wrapper} {flags} -MD -MT {source}.o -MF {source}.o.d -o {source}.o -c {_STAGE}/spack-src/{source}"]
    if luck < 0.66:
        return [f"[{dice.randrange(101):3d}%] Building CXX object CMakeFiles/solverkit.dir/{source}.o"]
    if luck < 0.76:
        way = dice.choice(("Entering", "Leaving"))
        return [f"make[{dice.randrange(1, 4)}]: {way} directory '{_STAGE}/spack-build/{dice.choice(_FOLDERS)}'"]
    if luck < 0.81:
        return [f"checking for {dice.choice(_CHECKS)}... {dice.choice(('yes', 'no'))}"]
    if luck < 0.89:
        return [f"-- Installing: {_STORE}/solverkit-4.2.0-{'k' * 32}/include/{_source(dice, 'h')}"]
    if luck < 0.93:
        place = _source(dice, "o")
        return [f"libtool: compile:  gcc -DHAVE_CONFIG_H -I. -I../include -O2 -c {place}.c -fPIC -DPIC -o .libs/{place}"]
    if luck < 0.97:
        return [f"  CC       {_source(dice, 'lo')}", f"  CXXLD    libkit{dice.randrange(99)}.la"]
    clock = f"{dice.randrange(24):02d}:{dice.randrange(60):02d}:{dice.randrange(60):02d}.{dice.randrange(10**6):06d}"
    return ["", f"==> [2026-11-22-{clock}] 'make' '-j16' 'V=1'"]


def _warning(dice: random.Random) -> list[str]:
    place = f"{_STAGE}/spack-src/{_source(dice)}"
    line, column = dice.randrange(1, 4000), dice.randrange(1, 90)
    lines = [
        f"{place}: In member function 'void kit::Solver<T>::step(std::size_t) [with T = double]':",
        f"{place}:{line}:{column}: warning: {dice.choice(_WARNINGS)}",
        f"{line:5d} |     const auto rest = blocks[index].size() < limit ? compute(a, b) : fallback;",
        "      |                ^~~~",
    ]
    if dice.random() < 0.5:
        lines += [
            f"{_STAGE}/spack-src/{_source(dice, 'h')}:{line}:7: note: declared here",
            f"{line:5d} |   void refine(int level);",
        ]
    if dice.random() < 0.3:
        lines.insert(0, f"In file included from {_STAGE}/spack-src/{_source(dice, 'h')}:{line},")
    return lines


def _error(dice: random.Random) -> list[str]:
    place = f"{_STAGE}/spack-src/{_source(dice)}"
    line = dice.randrange(1, 4000)
    return dice.choice(
        [
            [
                f"{place}:{line}:9: error: 'limit' was not declared in this scope",
                f"{line:5d} |   if (limit)",
                "      |       ^~~~~",
            ],
            [f"{place}:{line}:10: fatal error: mpi.h: No such file or directory", "compilation terminated."],
            [
                f"/usr/bin/ld: {place}.o: in function `main':",
                f"{place}:(.text+0x1f): undefined reference to `kit::run(int)'",
            ],
            [f"make[2]: *** [CMakeFiles/solverkit.dir/build.make:{line}: {_source(dice, 'o')}] Error 1"],
        ]
    )


if __name__ == "__main__":
    for block in build_log(size_bytes=int(float(sys.argv[1]) * 1e6), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 7):
        sys.stdout.buffer.write(block)
