//! ferrocart-search
