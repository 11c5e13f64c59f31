//! ferrocart-gateway
