"""The reader study: people who are shown real and synthetic images without being told which."""
