"""Feedback on pages of the help centre: yes or no, and a comment.

Promises a bound on how much strangers can store, that no credential of theirs is kept, and that no address is. Knows no
other house.
"""
