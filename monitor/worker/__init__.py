"""The poll-transaction loop: the only place that joins Kafka, store and stages."""
