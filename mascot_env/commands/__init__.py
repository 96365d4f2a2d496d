"""The subcommands of `mascot`, one file each: a frozen `Config`, the examples that `--help` shows, and `run(config) -> exit code`.

What a subcommand needs is imported inside of `run`, so that `mascot --help` loads nothing.
"""
