"""DOOR: the command line, a module per noun. Decides nothing: it calls services and shows what they answer."""
