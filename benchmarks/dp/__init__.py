"""Parts of `dp_step.py`: what is stepped, by whom, and how time and memory are read."""
