"""From bytes on a topic to accepted records or dead letters."""
