"""Memorisation audits: does the release, or the model, give a training patient away?

`copies`, `data_copying`, `blind`, `model_membership` and `release_membership` are the audits, and `neighbours` is the
picture for the report; the other files are what they share. The unit of every test is the patient.
"""
