"""Which variables of the user's environment reach a build with Spack, and which change what Spack itself does. Pure.

Source: Spack 1.1, lib/spack/spack/build_environment.py (clean_environment), lib/spack/spack/paths.py.
"""

READ_BY_SPACK = (
    "SPACK_DISABLE_LOCAL_CONFIG", "SPACK_ENV", "SPACK_PYTHON", "SPACK_SYSTEM_CONFIG_PATH", "SPACK_USER_CACHE_PATH",
    "SPACK_USER_CONFIG_PATH",
)  # fmt: skip
"""They decide which configuration holds, and which Python runs Spack."""

_UNSET_IN_BUILDS = frozenset({
    "CC", "CFLAGS", "CPP", "CPPFLAGS", "CXX", "CCC", "CXXFLAGS", "CXXCPP",
    "F77", "FFLAGS", "FLIBS", "FC", "FCFLAGS", "FCLIBS", "LDFLAGS", "LIBS",
    "MPICC", "MPICXX", "MPIFC", "MPIF77", "MPIF90",
    "LD_LIBRARY_PATH", "LD_RUN_PATH", "LD_PRELOAD", "LIBRARY_PATH",
    "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH",
    "CMAKE_PREFIX_PATH", "CONFIG_SITE", "PYTHONPATH", "R_HOME", "R_ENVIRON", "LUA_PATH", "LUA_CPATH",
})  # fmt: skip


def reaches_builds(name: str) -> bool:
    """Return whether Spack leaves a variable to the programs of a build."""
    return name not in _UNSET_IN_BUILDS and (name == "SPACK_ROOT" or not name.endswith("_ROOT"))
