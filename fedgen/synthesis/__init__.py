"""Model to images, with their geometry, and the files that hold them."""
