# The first process of each container: it outlives every script, and ends the pod when no driver has touched it for long.
# sh -c THIS first_process CONTROL_FOLDER CONTAINER ORPHAN_AFTER_SECONDS AGENT_PROGRAM
# TERM is the pod's notice, not the script's: a script continues until the grace period ends.
# POSIX sh with coreutils or busybox.
root=$1/$2 control=$1 orphan_after=$3
trap '' INT HUP
going=
trap 'going=1' TERM
umask 022
mkdir -p "$root/bin" || exit 70
mkfifo "$root/wake" 2>/dev/null   # with it the agent waits without processes
printf '%s\n' "$4" >"$root/agent.part" && mv "$root/agent.part" "$root/agent" || exit 70
sh "$root/agent" facts >"$root/facts.part" 2>/dev/null </dev/null
mv "$root/facts.part" "$root/facts"
printf '%s\n' '' "spack-farm's facts of this image:"
while read -r line; do printf '%s\n' "$line"; done <"$root/facts"

# The working set is what Kubernetes evicts by: usage without the inactive page cache.
if [ -r /sys/fs/cgroup/memory.current ]; then
  usage_file=/sys/fs/cgroup/memory.current stat_file=/sys/fs/cgroup/memory.stat cache_key=inactive_file
else
  usage_file=/sys/fs/cgroup/memory/memory.usage_in_bytes stat_file=/sys/fs/cgroup/memory/memory.stat
  cache_key=total_inactive_file
fi
peak=0
sample() {
  read -r usage <$usage_file || return
  while read -r key value; do
    [ "$key" = $cache_key ] && { usage=$((usage - value)); break; }
  done <$stat_file
  [ "$usage" -gt "$peak" ] || return
  peak=$usage
  echo "$peak" >"$root/peak"
}

idle=0 seen=
while :; do
  sleep 2 &
  wait $!
  [ -n "$going" ] && [ -e "$control/finished" ] && exit 0   # after the job's last script there is nothing to wait for
  now=
  for file in "$1"/*/alive; do
    [ -r "$file" ] && read -r line <"$file" && now="$now $line"
  done
  if [ "$now" = "$seen" ]; then idle=$((idle + 2)); else idle=0 seen=$now; fi
  [ "$idle" -lt "$orphan_after" ] || exit 75
  [ -r $usage_file ] && sample 2>/dev/null
done
