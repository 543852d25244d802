"""The chapters of the composition root: how each part is built from the settings. `tap` draws the arrows.

Only here and in `tap` are the settings and the rooms known at the same time.
"""
