//! `ferrocart-notification serve | migrate | check-config | openapi`

use std::process::ExitCode;

fn main() -> ExitCode {
    ferrocart_http_kit::run_main::<ferrocart_notification::NotificationService>()
}
