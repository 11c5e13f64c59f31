//! ferrocart-cart
