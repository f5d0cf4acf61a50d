"""The vault: private gradient steps, their accounting, the ledger, and the audits' statistics.

It knows tensors and numbers, and neither file formats of images nor Flower nor any command line.
"""
