"""Runs inside Spack's Python: one call of the installer that Spack 1.2 has by default (`config:installer:new`).

That installer hides the build's output behind a terminal UI, names no phases in the log, takes the store's lock after it has
decided what is to be built, and stumbles over what a killed build left. Here the output passes live, with the lines of the
old installer for packages and phases; it decides under the lock; and what was left is removed. Linux only: the process
that builds is forked, so that it has the changes made here. Written for Spack 1.2.0.dev0.
Source: Spack 1.2.0.dev0, lib/spack/spack/new_installer.py.
"""

import multiprocessing
import os
import select
import sys

import spack.binary_distribution
import spack.error
import spack.hooks
import spack.mirrors.mirror
import spack.new_installer
import spack.store
import spack.url_buildcache
import spack.util.lock
from spack.llnl.util import tty

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # `spack python` leaves it as it is
import full_disks

READ_BYTES = 65536


def install(packages, explicit, options):
    """Install the packages. What `options` of `spack install` this installer lacks are left to it to reject."""
    multiprocessing.set_start_method("fork", force=True)
    # it would ask each mirror for its index first, even if it is to build from source
    spack.binary_distribution.BINARY_INDEX.update = lambda *_, **__: None
    show_builds(os.dup(sys.stdout.fileno()))
    watch_a_pipe()
    only_packages = not options["install_deps"]
    options = {**options, "install_deps": True}  # it counts externals that are not registered yet as missing
    lock = spack.util.lock.Lock(str(spack.store.STORE.prefix_locker.lock_path), desc="prefix lock")
    lock.acquire_write()
    try:
        installer = spack.new_installer.PackageInstaller(packages, explicit=explicit, **options)
        to_install = [spec for spec in installer.build_graph.nodes.values() if not spec.external]
        if only_packages:
            require_dependencies(to_install, installer.build_graph.roots)
        find_by_hash(installer.binary_cache_for_spec)
        for spec in to_install:
            remove_remains(spec, installer.overwrite)
        with open(os.devnull, "w") as hidden:  # the states of the packages, which would come among the build's output
            installer.build_status.is_tty, installer.build_status.stdout = False, hidden
            installer._installer()
    finally:
        lock.release_write()


def show_builds(terminal):
    """Let what a build prints pass to a descriptor, with a line for the package and for each phase."""

    def tee(control, output, log, _):
        copy_output(control, output, (log, terminal))

    install_one = spack.new_installer._install

    def install_and_say(spec, *rest, **named):
        name = f"{spec.name}-{spec.version}-{spec.dag_hash()}"
        say(f"Installing {name} [1/1]")
        name_phases(spec)
        if os.path.islink(spec.package.log_path):  # to the log of the last build: a developer's stage is kept
            os.unlink(spec.package.log_path)
        quiet_after_phases(tty.debug_level())
        try:
            install_one(spec, *rest, **named)
        except BaseException:
            full_disks.wait_if_full(spec.prefix, spec.package.stage.path)
            raise
        say(f"{spec.name}: Successfully installed {name}")

    spack.new_installer.tee = tee
    spack.new_installer._install = install_and_say


def name_phases(spec):
    """Let the log name the phases, of which the installer sends only the states to the process that shows them."""
    send_state = spack.new_installer.send_state
    is_staged = False

    def send_and_say(state, pipe):
        nonlocal is_staged
        if is_staged:  # the states after it are the phases
            say(f"{spec.name}: Executing phase: '{state}'")
            tty.set_debug(max(tty.debug_level(), 1))  # Spack's commands, which the old installer also has in the log
        is_staged = is_staged or state == "staging"
        send_state(state, pipe)

    spack.new_installer.send_state = send_and_say


def quiet_after_phases(level):
    """Let Spack say after the phases what it says without them."""
    post_install = spack.hooks.post_install

    def quiet_post_install(*rest, **named):
        tty.set_debug(level)
        post_install(*rest, **named)

    spack.hooks.post_install = quiet_post_install


def say(text):
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


def copy_output(control, output, copies):
    """Copy all that a build prints, until it ends or nothing controls it any more. A thread of the process that builds.

    Spack's own thread copies it to another process, and only while that one asks for it.
    """
    while True:
        ready, _, _ = select.select([output, control], [], [])
        if output in ready:
            data = os.read(output, READ_BYTES)
            if not data:
                break
            for copy in copies:
                write_all(copy, data)
        elif not os.read(control, 1):
            break
    os.close(output)


def write_all(descriptor, data):
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except OSError:  # a full disk, or the reader is gone: the other copy goes on
            return


def watch_a_pipe():
    """Give Spack a standard input that it can wait for: it waits for keys, and can't do so at a file or /dev/null."""
    reading, _ = os.pipe()  # the other end stays open: nothing ever comes, not even an end
    os.dup2(reading, 0)


def find_by_hash(mirrors_by_hash):
    """Let Spack ask the mirrors also for what no index names: the index may be old, or may not be readable."""
    every = [
        spack.url_buildcache.MirrorMetadata(mirror.fetch_url, layout, mirror.fetch_view)
        for mirror in spack.mirrors.mirror.MirrorCollection(binary=True).values()
        for layout in mirror.supported_layout_versions
    ]
    for dag_hash, known in mirrors_by_hash.items():
        mirrors_by_hash[dag_hash] = known or every


def require_dependencies(to_install, roots):
    missing = [spec for spec in to_install if spec.dag_hash() not in roots]
    if missing:
        names = ", ".join(f"{spec.name}-{spec.version}-{spec.dag_hash()}" for spec in missing)
        raise spack.error.InstallError(f"dependencies are not installed: {names}")


def remove_remains(spec, overwritten):
    """Delete what a build left that was killed: nothing else works on it, the store's lock is held."""
    if spec.dag_hash() not in overwritten and os.path.lexists(spec.prefix):
        spec.package.remove_prefix()
