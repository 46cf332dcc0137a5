"""Render a report of the cloud as one HTML page that loads nothing (extra ``report``).

The command imports ``page`` only when it is needed: Jinja2 and leather are not in the
base install.
"""
