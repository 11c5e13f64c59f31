//! The order service's binary.

fn main() -> std::process::ExitCode {
    ferrocart_http_kit::run_main::<ferrocart_order::Order>()
}
