"""How models/ was made."""
