//! The fast attacks, on a platform of their own.

use ferrocart_abuse::{Extent, run};
use ferrocart_stack::Stack;

/// Where `make test` has put the binaries.
const BIN_DIR: &str = "FERROCART_TEST_BIN_DIR";

#[expect(clippy::disallowed_methods, reason = "tests have no settings file")]
fn binaries() -> String {
    std::env::var(BIN_DIR)
        .unwrap_or_else(|_| panic!("{BIN_DIR} is not set: run `make test`, which builds the services first"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fast_attack_is_held_off() {
    let folder = tempfile::Builder::new().prefix("fc-abuse-").tempdir().unwrap();
    let stack = Stack::builder()
        .folder(folder.path())
        .binaries(binaries())
        .start()
        .await
        .unwrap();
    stack.create_sample_accounts().await.unwrap();
    let report = run(&stack, Extent::Fast, |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
}
