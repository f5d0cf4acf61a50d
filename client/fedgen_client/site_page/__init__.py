"""The hospital's own page on loopback: what is offered, what it costs, what left and what entered."""
