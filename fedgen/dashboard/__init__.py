"""Pages to keep open: what goes on, for a coordinator and for a hospital, as it happens."""
