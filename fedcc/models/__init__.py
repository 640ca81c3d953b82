"""Model shapes and the update rule on flat parameter vectors."""
