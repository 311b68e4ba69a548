"""What the driver puts before the Runner's scripts in the helper container, for the owner of files and for git.

The helper runs as root, the job's image perhaps as another user, in whose eyes git finds a `dubious ownership` of root's
checkout. Pure. Source: gitlab-runner 19.4 shells/abstract.go, `changeFilesOwnership`; git-config(1), `safe.directory`.
"""

import shlex

from executor.pod_agent import CONTROL_FOLDER

DISABLE_UMASK = "FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR"
_OWNER_FILE = ".gitlab-build-uid-gid"
"""The Runner's scripts give all files to the owner of this one."""
_BUILDS_FOLDER = f"{CONTROL_FOLDER}/build"
"""Made by the build container's first process, so its owner is the user of the job's scripts."""
# git of the helper works on files of another user; variables, because no file of the image is ours.
_GIT = "export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'\n"
# git asks for the owner of the worktree, of .git, and in a submodule of the file .git and of the folder that it names.
_GIVE = """spack_farm_give() {{
  [ -d {project}/.git ] && [ -d {folder} ] && [ ! -O {folder} ] || return 0
  owner=$(stat -c %u:%g {folder}) || return 0
  chown "$owner" {project} {project}/.git
  [ -e {project}/.gitmodules ] || return 0
  find {project} -name .git | while read -r found; do chown "$owner" "$found" "${{found%/*}}"; done
  find {project}/.git/modules -name HEAD | while read -r found; do chown "$owner" "${{found%/*}}"; done
}}
trap 'spack_farm_give 2>/dev/null' EXIT
"""
_SAME_OWNER = "umask 022\n"
_NAME_OWNER = 'true >{file}; chown "$(stat -c %u:%g {folder})" {file} 2>/dev/null\n'


def helper_prelude(stage: str, variables: dict[str, str], *, builds_dir: str) -> bytes:
    """Return the lines before a script of the helper container. `variables` are the job's.

    They change no exit code, and what they start is over when the script is.
    """
    lines = _GIT
    if variables.get(DISABLE_UMASK) == "true":
        lines += _SAME_OWNER
        if stage == "get_sources":
            file = shlex.quote(f"{builds_dir}/{_OWNER_FILE}")
            lines += _NAME_OWNER.format(file=file, folder=_BUILDS_FOLDER)
    project = variables.get("CI_PROJECT_DIR", "")
    if stage == "get_sources" and project:
        lines += _GIVE.format(project=shlex.quote(project), folder=_BUILDS_FOLDER)
    return lines.encode(errors="surrogateescape")
