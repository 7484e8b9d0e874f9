"""The help centre: articles for integrators at `/docs`, made of our own files and asking no other host for anything."""
