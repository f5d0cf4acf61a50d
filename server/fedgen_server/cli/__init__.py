"""The `fedgen-server` command."""
