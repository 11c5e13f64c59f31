//! The service against the provider's sandbox, PostgreSQL and Kafka.
