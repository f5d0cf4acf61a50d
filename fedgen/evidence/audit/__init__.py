"""Memorisation audits: does the release, or the model, give a training patient away?

Every file with a `Measure` is an audit (docs/explanation/audits.md says who attacks with what), and `neighbours` is the
picture for the report; the other files are what they share. The unit of every test is the patient.
"""
