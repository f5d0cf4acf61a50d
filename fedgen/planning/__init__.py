"""What a study will cost and can hope for, before anything is spent."""
