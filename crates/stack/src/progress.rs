//! Who is told what the start of a stack is doing.

use std::time::Duration;

/// Steps may overlap: several components start at once.
pub trait Progress: Send + Sync {
    fn begin(&self, step: &str);
    /// How far a step has come, of those that can tell.
    fn advance(&self, step: &str, what: &str, done: usize, total: usize);
    fn end(&self, step: &str, result: &str, took: Duration);
    fn note(&self, text: &str);
}

/// Says nothing: for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: &str) {}
    fn advance(&self, _step: &str, _what: &str, _done: usize, _total: usize) {}
    fn end(&self, _step: &str, _result: &str, _took: Duration) {}
    fn note(&self, _text: &str) {}
}
