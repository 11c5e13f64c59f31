//! All places there are. The chaos program goes through this list, so that none is forgotten.

use std::fmt;
use std::str::FromStr;

use crate::InvalidPlan;

macro_rules! sites {
    ($($(#[$doc:meta])* $site:ident = $name:literal in [$($service:literal),+],)+) => {
        /// A step in which something can be made to go wrong, before it and after it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Site {
            $($(#[$doc])* $site,)+
        }

        impl Site {
            pub const ALL: &'static [Self] = &[$(Self::$site),+];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$site => $name,)+
                }
            }

            /// The services of a checkout's path whose code has it.
            pub const fn services(self) -> &'static [&'static str] {
                match self {
                    $(Self::$site => &[$($service),+],)+
                }
            }
        }
    };
}

sites! {
    /// The transaction that places an order.
    OrderPlace = "order.place" in ["order"],
    /// A saga's calls. Reserving an order that was held extends the hold.
    OrderReserve = "order.reserve" in ["order"],
    OrderAuthorize = "order.authorize" in ["order"],
    OrderConfirm = "order.confirm" in ["order"],
    OrderDeduct = "order.deduct" in ["order"],
    OrderCapture = "order.capture" in ["order"],
    OrderRefund = "order.refund" in ["order"],
    OrderVoid = "order.void" in ["order"],
    OrderRelease = "order.release" in ["order"],
    /// The transactions that write down what became of the calls.
    OrderReserveRecord = "order.reserve.record" in ["order"],
    OrderAuthorizeRecord = "order.authorize.record" in ["order"],
    OrderConfirmRecord = "order.confirm.record" in ["order"],
    OrderDeductRecord = "order.deduct.record" in ["order"],
    OrderCaptureRecord = "order.capture.record" in ["order"],
    OrderRefundRecord = "order.refund.record" in ["order"],
    OrderVoidRecord = "order.void.record" in ["order"],
    OrderReleaseRecord = "order.release.record" in ["order"],
    /// The commits of batches.
    InventoryReserve = "inventory.reserve" in ["inventory"],
    InventoryExtend = "inventory.extend" in ["inventory"],
    InventoryConfirm = "inventory.confirm" in ["inventory"],
    InventoryRelease = "inventory.release" in ["inventory"],
    InventoryDeduct = "inventory.deduct" in ["inventory"],
    /// Asking the provider.
    PaymentAuthorize = "payment.authorize" in ["payment"],
    PaymentCapture = "payment.capture" in ["payment"],
    PaymentVoid = "payment.void" in ["payment"],
    PaymentRefund = "payment.refund" in ["payment"],
    /// The transactions that write down what the provider said.
    PaymentAuthorizeRecord = "payment.authorize.record" in ["payment"],
    PaymentCaptureRecord = "payment.capture.record" in ["payment"],
    PaymentVoidRecord = "payment.void.record" in ["payment"],
    PaymentRefundRecord = "payment.refund.record" in ["payment"],
    /// The transaction that writes down what the provider told of its own accord.
    PaymentWebhook = "payment.webhook" in ["payment"],
    /// The cart's mark that it became an order.
    CartMark = "cart.mark" in ["cart"],
    /// A consumer's handler with its inbox. An error behind it is an offset that is not stored: the broker
    /// delivers the events again.
    ConsumerApply = "consumer.apply" in ["order", "payment", "inventory", "cart"],
    /// The relay's publishing; behind it the rows of the outbox are deleted.
    RelayPublish = "relay.publish" in ["order", "payment", "inventory"],
}

impl Site {
    pub const fn before(self) -> Point {
        Point {
            site: self,
            at: At::Before,
        }
    }

    pub const fn after(self) -> Point {
        Point {
            site: self,
            at: At::After,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    Before,
    After,
}

/// Written `order.reserve.before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    pub site: Site,
    pub at: At,
}

impl Point {
    /// Every point of every site.
    pub fn all() -> impl Iterator<Item = Self> {
        Site::ALL.iter().flat_map(|site| [site.before(), site.after()])
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.at {
            At::Before => "before",
            At::After => "after",
        };
        write!(f, "{}.{at}", self.site.name())
    }
}

impl FromStr for Point {
    type Err = InvalidPlan;

    fn from_str(text: &str) -> Result<Self, InvalidPlan> {
        Self::all()
            .find(|point| point.to_string() == text)
            .ok_or_else(|| InvalidPlan(format!("there is no point {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own_that_is_read_back() {
        let names: BTreeSet<String> = Point::all().map(|point| point.to_string()).collect();
        assert_eq!(names.len(), 2 * Site::ALL.len());
        for point in Point::all() {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        assert!("order.reserve".parse::<Point>().is_err());
    }
}
