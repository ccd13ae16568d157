"""The command line: prints, progress bars and exit codes; every command is a client of the HTTP routes."""
