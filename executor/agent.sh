# The driver's program in a container. Written to the control volume by the first process; called by exec:
#   sh agent run STAGE SEGMENT BASE RECEIVED SIZE [last]   start a script, or find it started, and follow its output;
#                                       after the job's `last` one the pod may end at its first TERM
#   sh agent signal STAGE TERM|KILL     signal the script's process group
#   sh agent facts                      print what this image offers
#   sh agent wait_facts SECONDS         print the facts of both containers
# Standard output carries the script's bytes and nothing else; standard error carries lines for the driver:
#   need                  the script's SIZE bytes are expected on standard input
#   following             the script was started; from here on lines are read
#   segment N TOTAL       segment N of the log is complete; it ends after TOTAL bytes
#   counters before|after a reading of the kernel's counters begins: lines NAME VALUE, until the next keyword
#   exit CODE             the script has ended
#   broken                the log could not be written any further
#   lost MESSAGE          the script's end cannot be known
#   fault MESSAGE         the script cannot run in this image
#   beat                  nothing is new
# Standard input, after `need` and the script's bytes:
#   alive NUMBER          any number that changes: the driver is there
#   acked SEGMENT TOTAL   all segments before this one have arrived
# The same table, for the driver: pod_agent.py. POSIX sh with coreutils or busybox; no program here reads more of a pipe than
# it writes.
root=${0%/*}
stage=$root/stages/$2
# A segment is at most 16 MiB; a script whose output is 256 MiB ahead of the driver waits.
pipe_bytes=16384 reads=1024 ahead_bytes=268435456

# bash, where there is one, starts background jobs with SIGINT as it is; POSIX lets other shells ignore it in them.
if [ -z "$BASH_VERSION" ]; then
  for bash in /usr/local/bin/bash /usr/bin/bash /bin/bash; do
    [ -x $bash ] && exec $bash "$0" "$@"
  done
fi

say() { printf '%s\n' "$*" >&2; }
# bash can wait without a process, and stops waiting when a line comes through the pipe `wake`.
nap() { sleep "$1" 2>/dev/null || sleep 1; }
wake() { :; }
if [ -n "$BASH_VERSION" ] && [ -p "$root/wake" ]; then
  nap() { read -rt "$1" _ <&5; }
  wake() { echo >&5; }
  exec 5<>"$root/wake"
fi
shell=sh; [ -n "$BASH_VERSION" ] && shell=bash

facts() {
  eval "quoted=\$'a'"
  quoting=no; [ "$quoted" = a ] && quoting=yes
  echo "shell $shell"
  echo "quoting $quoting"
  for tool in setsid head dd git gitlab-runner gitlab-runner-helper; do
    command -v $tool >/dev/null && echo "tool $tool"
  done
  helper=$(command -v gitlab-runner-helper)
  if [ -n "$helper" ] && ! command -v gitlab-runner >/dev/null; then
    ln -sf "$helper" "$root/bin/gitlab-runner" && echo "tool gitlab-runner"
  fi
  case $root in
    */helper) if [ -r /usr/share/gitlab-runner/version ] && read -r value </usr/share/gitlab-runner/version; then
        echo "runner_version $value"   # asking the program itself takes a tenth of a second
      else
        PATH=$root/bin:$PATH gitlab-runner --version 2>/dev/null | while read -r key value; do
          [ "$key" = Version: ] && echo "runner_version $value"
        done
      fi ;;
  esac
  echo "end"
}

wait_facts() {
  tries=0
  for container in helper build; do
    until [ -r "$root/../$container/facts" ]; do
      [ $tries -lt $(($2 * 10)) ] || { echo "missing $container"; return; }
      tries=$((tries + 1)); nap 0.1
    done
    echo "container $container"
    cat "$root/../$container/facts"
  done
}

# The kernel's counters of this container, as `NAME VALUE` lines; cgroup v2 if it is there, else v1.
counters() {
  group=/sys/fs/cgroup
  if [ -r $group/memory.events ]; then
    while read -r key value; do echo "events.$key $value"; done <$group/memory.events
    for file in memory.current memory.peak memory.max cpu.max; do
      [ -r $group/$file ] && read -r value <$group/$file && echo "$file $value"
    done
    while read -r key value; do [ "$key" = usage_usec ] && echo "cpu.usage_usec $value"; done <$group/cpu.stat
    while read -r key value; do [ "$key" = inactive_file ] && echo "memory.inactive_file $value"; done <$group/memory.stat
    return
  fi
  [ -r $group/memory/memory.oom_control ] || return
  while read -r key value; do [ "$key" = oom_kill ] && echo "events.oom_kill $value"; done <$group/memory/memory.oom_control
  read -r value <$group/memory/memory.usage_in_bytes && echo "memory.current $value"
  read -r value <$group/memory/memory.max_usage_in_bytes && echo "memory.peak $value"
  read -r value <$group/memory/memory.limit_in_bytes && echo "memory.max $value"
  read -r value <$group/cpuacct/cpuacct.usage && echo "cpu.usage_nsec $value"
  while read -r key value; do [ "$key" = total_inactive_file ] && echo "memory.inactive_file $value"; done <$group/memory/memory.stat
}

# Cuts the script's output into segments: each dd ends after a fixed number of reads, and writes all that it reads.
collect() {
  number=0 total=0 over=
  while :; do
    [ -n "$over" ] && exec cat >/dev/null   # the script's own output is complete: its leftovers have no log
    [ -e exit ] && over=1
    dd bs=$pipe_bytes count=$reads of="log.$number" 2>/dev/null || { : >broken; exec cat >/dev/null; }
    [ -s "log.$number" ] || { : >closed; wake; return; }
    total=$((total + $(wc -c <"log.$number")))
    echo "$total" >end.part && mv end.part "end.$number"
    wake
    number=$((number + 1))
    while read -r acked <acked && [ $((total - acked)) -gt $ahead_bytes ]; do nap 0.2; done
  done
}

# The keeper: runs in a session of its own, and outlives the call that started it.
wrap() {
  last=$3
  trap '' TERM INT HUP
  home=$PWD
  cd "$stage" || exit 70
  echo $$ >keeper   # the process group of this function; the script has its own
  counters >counters.before
  {
    (
      trap - TERM INT HUP
      cd "$home" || exit 70
      case $root in */helper) umask 0; PATH=$root/bin:$PATH ;; *) umask 022 ;; esac
      # A user without an entry in /etc/passwd has `/` for a home, or a folder that does not exist.
      [ -w "${HOME:-/}" ] || { HOME=$root/home; mkdir -p "$HOME"; export HOME; }
      exec setsid sh -c 'echo $$ >"$1/group"; exec "$2" "$1/script"' \
        script "$stage" "$shell" 5<&-
    ) 2>&1
    code=$?
    counters >counters.after
    printf '\036%s\036' "${stage##*/}"
    echo $code >exit.part && mv exit.part exit
    wake
    [ -z "$last" ] || : >"$root/../finished"
    : >script   # it may hold secrets
  } | collect
}

tell_result() {
  for section in before after; do
    words="counters $section"
    while read -r line; do words="$words
$line"; done <"counters.$section"
    say "$words"
  done
  [ -r "$root/peak" ] && read -r peak <"$root/peak" && say "memory.working_set_peak $peak"
  read -r code <exit
  say "exit $code"
}

# Reads the driver's lines; their end ends this call, not the script.
listen() {
  oldest=$1
  while read -r word number total; do
    case $word in
      alive) echo "$number" >"$root/alive" ;;
      acked)
        echo "$total" >acked.part && mv acked.part acked
        while [ "$oldest" -lt "$number" ]; do rm -f "log.$oldest" "end.$oldest"; oldest=$((oldest + 1)); done ;;
    esac
  done
  kill $$ 2>/dev/null
}

run() {
  segment=$3 base=$4 received=$5 size=$6 last=$7
  exec 3<&0 </dev/null
  home=$PWD
  mkdir -p "$stage" && cd "$stage" || { say "fault the control volume cannot be written to"; exit 3; }
  if [ ! -e started ]; then
    command -v setsid >/dev/null || { say "fault the image has no setsid (package util-linux, or busybox)"; exit 3; }
    say need
    umask 077
    head -c "$size" <&3 >"script.$$"
    wc -c <"script.$$" >"size.$$"
    read -r sent <"size.$$" && [ "$sent" -eq "$size" ] || { rm -f "script.$$"; exit 4; }
    mv "script.$$" script
    echo 0 >acked
    umask 022
    set -C   # noclobber: of several calls only one creates the file, and starts the script
    if true >started 2>/dev/null; then
      set +C
      [ -n "$BASH_VERSION" ] && set -m
      (cd "$home" && exec setsid "$shell" "$0" wrap "$2" "$last" </dev/null >/dev/null 2>&1 3<&-) &
      set +m
    fi
    set +C
  fi
  say following
  listen "$segment" <&3 &
  trap 'kill $! 2>/dev/null' EXIT
  exec 3<&-
  follow   # until the driver closes the connection: what a process writes just before its own end may be lost
}

follow() {
  rounds=0
  while [ -e "end.$segment" ] && read -r total <"end.$segment" && [ "$total" -le "$received" ]; do
    base=$total segment=$((segment + 1))
  done
  until [ -e "log.$segment" ] || [ -e closed ] || [ -e broken ]; do
    [ $rounds -lt 500 ] || { say "lost the script was never started"; exit 3; }
    rounds=$((rounds + 1)); nap 0.02
  done
  skip=0
  if [ -e "log.$segment" ]; then exec 4<"log.$segment"; skip=$((received - base)); else exec 4</dev/null; fi
  [ $skip -le 0 ] || dd bs=$skip count=1 of=/dev/null <&4 2>/dev/null
  # A log that is older than the last look at it has nothing new: an idle script costs no process. Every tenth round looks
  # anyway, because a clock may be set back.
  rounds=0 told= broken= looked=looked.$$
  while :; do
    ended= over=
    [ -e "end.$segment" ] && ended=1
    if [ $((rounds % 10)) -eq 0 ] && [ -r keeper ] && read -r keeper <keeper && ! kill -0 "-$keeper" 2>/dev/null &&
      [ ! -e exit ]; then
      say "lost the process that keeps the script was killed; its exit code is unknown"; exit 3
    fi
    [ -e exit ] && over=1
    if [ -s "log.$segment" ] && { [ -n "$ended" ] || { [ -n "$over" ] && [ -z "$told" ]; } || [ $((rounds % 10)) -eq 0 ] ||
      ! [ "log.$segment" -ot $looked ]; }; then
      : >$looked
      cat <&4
    fi
    if [ -n "$ended" ]; then
      read -r total <"end.$segment"
      say "segment $segment $total"
      segment=$((segment + 1))
      until [ -e "log.$segment" ] || [ -e closed ] || [ -e exit ] || [ -e broken ]; do nap 0.02; done
      [ -e "log.$segment" ] && exec 4<"log.$segment" && continue
    fi
    if [ -n "$over" ] && [ -z "$told" ]; then told=1 rounds=0; tell_result; fi
    [ -n "$told" ] && [ $rounds -gt 200 ] && exit 0
    [ -e broken ] && [ -z "$broken" ] && { broken=1; say broken; }
    rounds=$((rounds + 1))
    if [ $rounds -lt 20 ]; then nap 0.02; elif [ $rounds -lt 50 ]; then nap 0.1; else
      nap 0.5
      [ $((rounds % 10)) -eq 0 ] && say beat
    fi
  done
}

case $1 in
  run) run "$@" ;;
  wrap) wrap "$@" ;;
  signal)
    tries=0   # the script may only just be starting
    until read -r group 2>/dev/null <"$stage/group"; do
      [ $tries -lt 20 ] || exit 1
      tries=$((tries + 1)); nap 0.1
    done
    kill "-$3" "-$group" ;;
  facts) facts ;;
  wait_facts) wait_facts "$@" ;;
  *) say "fault unknown word $1"; exit 2 ;;
esac
