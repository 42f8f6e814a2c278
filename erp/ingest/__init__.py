"""The producer's side: from CSV files as they are to messages that keep the contract."""
