"""What a person at one machine is told to do next."""

from __future__ import annotations

from dataclasses import replace

from fedgen.run.hints import Hints

#: Of every command but those below.
COMMAND = Hints(again="give the same command again", stopped="give the same command again")
#: Of `simulate` before there is a run.
NEW_RUN = replace(COMMAND, elsewhere="choose a folder you may write to with --out")
#: Of `simulate` once there is one: only with --resume is it that run which goes on.
SIMULATE = Hints(
    again="continue with --resume",
    elsewhere=NEW_RUN.elsewhere,
    stopped="the same command with --resume goes on from here",
)
#: Of `export`.
EXPORT = replace(COMMAND, elsewhere="choose a file you may write with --out")
