"""The one strict base of everything that is read: study and site files, documents, messages, files of a run."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Unknown keys and silently converted types are errors, values cannot change later, numbers are finite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
