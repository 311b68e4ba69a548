"""Starting, following and ending programs, and what their environment may hold. Knows no Spack."""
