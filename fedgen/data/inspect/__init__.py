"""The first look at a folder: what it holds, what is odd about it, and the section of a study that would use it."""
