"""The strict base of every section of a study file."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section: unknown keys and silently converted types are errors, values cannot change later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
