"""What is to be painted: durable, ordered, limited."""
