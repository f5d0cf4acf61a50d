"""The truth gate: is what this installation runs the mechanism that its accountant charges for?

A check is a pure function of a `Subject`, the thing under test; a fault is a subject with one thing replaced by a
mistake. The checks must pass on what is installed and each fault must fail one of them.
"""
