"""The poll-transaction loop: where Kafka, the store and the stages meet."""
