"""`python -m fedgen.cli` is the `fedgen` command, for machines where scripts are not on the path."""

from fedgen.cli.main import run

run()
