//! ferrocart-types
