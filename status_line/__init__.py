"""The status line of spack-farm: how far a long call is, in one line that a terminal rewrites, or in a line a minute.

Every part may use it, as it may use the standard library; it knows none of them.
"""
