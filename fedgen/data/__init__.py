"""Files to patients to tensors, with their geometry; a split that never changes; and phantoms."""
