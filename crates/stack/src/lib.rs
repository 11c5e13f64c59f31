//! ferrocart-stack
