"""Redis: one link a task, an idempotent writer, a reader that remembers where it was."""
