"""What is put into a plain network: normalisation, and its statistics in evaluation."""
