"""The privacy modes, one file each; a file's name is the mode's."""
