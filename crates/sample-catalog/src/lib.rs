//! ferrocart-sample-catalog
