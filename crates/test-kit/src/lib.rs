//! ferrocart-test-kit
