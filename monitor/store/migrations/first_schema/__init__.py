"""The tables of schema 0001, as they were: never edited, and apart from the schema that the code declares."""
