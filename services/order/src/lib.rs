//! ferrocart-order
