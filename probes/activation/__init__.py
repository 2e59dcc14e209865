"""Activation probe: hidden states of a reader model, a calibrated head, and its artefact on disk.

Importing the modules needs the `local` extra; nothing is imported here.
"""
