"""What `executor check` looks at before the first job: the operator's files, the cluster, the Runner's own file."""
