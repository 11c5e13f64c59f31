//! ferrocart-telemetry
