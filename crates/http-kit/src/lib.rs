//! ferrocart-http-kit
