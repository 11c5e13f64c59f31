//! ferrocart-config
