"""From the kernel's counters to an observation: CPU, memory, disk and processes of a build. Knows `telemetry` only."""
