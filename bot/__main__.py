"""`python -m bot run · preview · imagine · edit · models · show · doctor · backup · restore`."""

from bot.cli.commands import main

if __name__ == "__main__":
    main()
