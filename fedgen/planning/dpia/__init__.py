"""A data protection impact assessment of a study, filled in as far as the study itself tells."""
