//! ferrocart-contracts
