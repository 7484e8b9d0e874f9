"""Finding client secrets that leaked: in files, archives, logs and git history. Offline; knows no house."""
