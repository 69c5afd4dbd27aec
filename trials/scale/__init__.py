"""`make scale`: rendered services on clusters of real servers, which each module here starts by itself.

A cluster is a function that takes the services and returns the rows of its trials: `trials/scale/__main__.py` lists
them, runs them one after another and writes docs/scale.md.
"""
