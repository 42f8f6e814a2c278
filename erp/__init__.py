"""What more than one script needs, a file for each subject; nothing here reads the settings."""
