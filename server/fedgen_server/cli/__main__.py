"""`python -m fedgen_server.cli`."""

from fedgen_server.cli.main import run

run()
