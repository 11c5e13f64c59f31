//! ferrocart-inventory
