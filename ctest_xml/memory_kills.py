"""Signs that a process was killed, or gave up, because memory was short. Patterns as in `rules`."""

MEMORY_KILLS = (
    r"^Killed$",
    r"[0-9] Killed\b",
    r"\*\*\* .*\bKilled\b",
    r"[Kk]illed \(program ",
    r"Killed signal terminated program",
    r"internal compiler error: Killed",
    r"signal: 9, SIGKILL",
    r"terminated by signal 9\b",
    r"virtual memory exhausted",
    r"Cannot allocate memory",
    r"\b[Oo]ut of memory\b",
    r"\b[Oo][Oo][Mm]-?[Kk]ill",
    r"std::bad_alloc",
    r"^ *MemoryError\b",
    r"\binsufficient memory for the Java Runtime",
)
