"""The `fedgen` command: thin shells around the stages and the smaller rooms."""
