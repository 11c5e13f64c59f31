//! ferrocart-kafka-kit
