"""What more than one script needs: a file for each subject. Nothing here reads the configuration."""
