//! ferrocart-pg-kit
