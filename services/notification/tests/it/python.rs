//! Programs of others, for Python, that `make setup` fetches.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the packages are; `None`, and a word about it, where they could not be had.
pub(crate) fn packages(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ferrocart/test-python");
    if folder.join(name).exists() {
        return Some(folder);
    }
    let said = writeln!(
        std::io::stderr(),
        "SKIPPED: {name} is not at {}: run `make setup`\n",
        folder.display()
    );
    assert!(said.is_ok());
    None
}
