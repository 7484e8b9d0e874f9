"""Serving over HTTP: a parent that holds the sockets, and workers that answer (docs/adr/0011).

Promises: no request is cut on a stop, a killed worker is replaced, workers die with their parent. Must not know any
house: it runs the ASGI app that `app.py` makes. The command line is never imported here, so that workers stay small.
"""
