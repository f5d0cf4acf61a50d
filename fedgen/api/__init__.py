"""What `import fedgen` gives a program or a notebook, and what the command line is made of: one way through a run."""
