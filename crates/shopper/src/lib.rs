//! ferrocart-shopper
