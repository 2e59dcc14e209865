"""The live service: from Kafka to verdicts, alarms, cohorts and the launch of confirm runs."""
