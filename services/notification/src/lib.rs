//! ferrocart-notification
