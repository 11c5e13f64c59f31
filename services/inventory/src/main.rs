//! The inventory service's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrocart_http_kit::run_main::<ferrocart_inventory::Inventory>()
}
