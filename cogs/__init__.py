"""Slash commands, message menus and reactions: one file per family of commands."""
