"""The `fedgen-client` command."""
