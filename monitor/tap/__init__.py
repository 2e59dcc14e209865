"""The sidecar beside an assistant: HTTP and OTLP on localhost in, Kafka out, nothing else."""
