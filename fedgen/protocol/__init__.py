"""What coordinator and site say to each other: the pydantic models are the wire."""
