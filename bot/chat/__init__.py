"""What speaks to Discord."""
