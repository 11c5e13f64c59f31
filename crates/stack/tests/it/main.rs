//! Stacks with their own stores, on free ports, in temporary folders.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as a test may")]

mod command;
mod isolation;
mod ports;
mod processes;
mod support;
