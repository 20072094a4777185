"""What people can say: one file per family of commands."""
