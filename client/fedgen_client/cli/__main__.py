"""`python -m fedgen_client.cli`."""

from fedgen_client.cli.main import run

run()
