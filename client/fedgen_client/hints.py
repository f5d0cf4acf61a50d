"""What a hospital is told to do next."""

from __future__ import annotations

from fedgen.run.hints import Hints

_ELSEWHERE = "give this user the right to, or name another folder with --folder"

#: Of the commands.
COMMAND = Hints(
    again="run the same command again", elsewhere=_ELSEWHERE, stopped="run the same command again to go on"
)
#: Of the worker, whose sentences are read in the site's log: the site goes on by itself once it can.
WORKER = Hints(again="the site takes part again", elsewhere=_ELSEWHERE)
