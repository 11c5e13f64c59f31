//! ferrocart-catalog
