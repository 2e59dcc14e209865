"""What a person or a process may do: one transaction each, without HTTP and without a terminal."""
