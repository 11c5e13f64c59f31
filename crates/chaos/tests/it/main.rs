//! One case of each service and each kind of fault, on the whole platform; and events through a kill of each who
//! carries them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ferrocart_chaos::{Events, Options, Selection, Timing, run};

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

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_applied_twice_or_overtaken() {
    let events = Events {
        events: 10_000,
        kills: 3,
        seed: seed(),
        program: env!("CARGO_BIN_EXE_ferrocart-chaos").into(),
        folder: None,
    };
    let report = events.run(|line| eprintln!("{line}")).await.unwrap();
    assert!(report.is_clean(), "seed {}:\n{report}", events.seed);
}
