//! One case of each service and each kind of fault, on the whole platform.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ferrocart_chaos::{Options, Selection, Timing, run};

/// Another day, other cases: the seed is printed with the failure.
fn seed() -> u64 {
    rand::random()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_survives_each_kind_of_fault() {
    let options = Options {
        seed: seed(),
        selection: Selection::Few,
        timing: Timing::Short,
        binaries: None,
        folder: None,
    };
    let report = run(&options, |line| eprintln!("{line}")).await.unwrap();
    assert!(report.is_clean(), "seed {}:\n{report}", options.seed);
}
