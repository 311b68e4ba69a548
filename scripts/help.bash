# Sourced by the scripts beside it: `--help` prints the comment at a script's head, and nothing else happens.
case ${1:-} in -h|--help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
no_more_arguments() { [ $# = 0 ] || { echo "$0: unknown argument '$1'; see --help" >&2; exit 2; }; }
