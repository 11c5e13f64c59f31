//! ferrocart-payment
