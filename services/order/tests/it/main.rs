//! The order service against real PostgreSQL and Kafka, with its neighbours faked.
