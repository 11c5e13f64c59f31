//! End-to-end tests live in `tests/it`; there is no code to depend on.
