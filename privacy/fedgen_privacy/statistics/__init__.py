"""Statistics of the audits: pure functions over numpy arrays, exact where an exact form exists.

`roc` (curves and operating points), `auc` (intervals and tests of the area under the curve), `proportions`
(Clopper-Pearson, Fisher), `multiplicity` (Holm), `dp_bounds` (what a claimed epsilon permits an attacker) and
`patients` (image values to patient values: the patient is the unit of every test).
"""
