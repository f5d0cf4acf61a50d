"""The signed release: the gate before it, what is in it, and how whoever gets it checks it offline."""
