//! The loader against a gateway of a few lines, which answers as the real one is documented to.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as the tests themselves do"
)]

mod fake_gateway;
mod load;
