"""What the `pysr` engine stands on: is Julia there, the child process that runs it, and the words between us."""
