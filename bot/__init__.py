"""The bot's process, on floors: cli, chat, operations, queue, worker; the modules here are shared by all of them."""
