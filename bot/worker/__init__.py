"""Where painting happens."""
