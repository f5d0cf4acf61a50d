"""Images of a public linear space, whose distribution in it is the one private sum."""
