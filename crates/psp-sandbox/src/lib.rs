//! ferrocart-psp-sandbox
