"""What a coordinator is told to do next."""

from __future__ import annotations

from dataclasses import replace

from fedgen.run.hints import Hints

#: Of the commands.
COMMAND = Hints(
    again="give the same command again",
    elsewhere="give this user the right to, or name another folder with --folder",
    stopped="`fedgen-server start` serves again, and `fedgen-server resume` goes on with a run",
)
#: Once a study is published: the same command would publish it a second time.
CONDUCTING = replace(COMMAND, again="continue with `fedgen-server resume`")
#: Of the demonstration, which has a folder of its own.
DEMO = replace(
    COMMAND, elsewhere="choose a folder you may write to with --out", stopped="the same command begins anew"
)
