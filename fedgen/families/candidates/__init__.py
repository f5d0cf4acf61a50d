"""Public images, of which one private sum says which show which class."""
