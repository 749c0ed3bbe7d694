"""The commands: flags, one-line errors, exit statuses."""
