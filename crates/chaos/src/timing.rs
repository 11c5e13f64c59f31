//! How long calls and leases last, and what is longer than those who wait for it bear.

use std::time::Duration;

use ferrocart_failpoint::Site;
use ferrocart_stack::Service;

/// The deadlines of the platform under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Shorter ones, so that hundreds of cases take minutes.
    Short,
    /// The defaults, as they are shipped.
    AsShipped,
}

impl Timing {
    pub(crate) fn settings(self) -> Vec<(Service, &'static str, &'static str)> {
        let mut settings = vec![
            // Buyers come from one address here.
            (Service::Gateway, "LIMITS__ADDRESS__PER_SECOND", "100000"),
            (Service::Gateway, "LIMITS__ADDRESS__BURST", "100000"),
            (Service::Gateway, "LIMITS__AUTH__PER_SECOND", "100000"),
            (Service::Gateway, "LIMITS__AUTH__BURST", "100000"),
            (Service::Gateway, "LIMITS__USER__PER_SECOND", "10000"),
            (Service::Gateway, "LIMITS__USER__BURST", "10000"),
            (Service::Gateway, "LIMITS__CHECKOUT__PER_SECOND", "10000"),
            (Service::Gateway, "LIMITS__CHECKOUT__BURST", "10000"),
        ];
        if self == Self::Short {
            settings.extend([
                (Service::Order, "CALL_TIMEOUT_MS", "1500"),
                (Service::Order, "PAYMENT_TIMEOUT_MS", "3000"),
                (Service::Order, "SAGA_LEASE_MS", "4000"),
                (Service::Order, "CHECKOUT_DEADLINE_MS", "4000"),
                (Service::Payment, "PSP_TIMEOUT_MS", "1500"),
                (Service::Payment, "PSP_QUEUE_TIMEOUT_MS", "500"),
                (Service::Payment, "PSP_RESOLVE_TIMEOUT_MS", "500"),
                (Service::Payment, "RECOVERY_INTERVAL_MS", "500"),
            ]);
        }
        settings
    }

    /// Longer than whoever waits for the step: the saga's lease, or the deadline of the call.
    pub(crate) fn too_long(self, site: Site) -> Duration {
        let short = self == Self::Short;
        let ms = match site.name().split('.').next() {
            Some("order") if short => 5_000,
            Some("order") => 13_000,
            Some("payment") if short => 3_500,
            Some("payment") => 10_500,
            _ if short => 2_000,
            _ => 4_000,
        };
        Duration::from_millis(ms)
    }
}
