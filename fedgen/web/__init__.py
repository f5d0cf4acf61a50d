"""Pages of our programs: what every answer says and what is refused, and a port of this machine alone."""
