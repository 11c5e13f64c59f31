words! {
    /// Where an order is in its life.
    pub enum Status {
        Placed = "PLACED",
        /// The stock is reserved, the payment is under way.
        PaymentPending = "PAYMENT_PENDING",
        /// The payment is authorized and the stock is the buyer's.
        Confirmed = "CONFIRMED",
        /// Picked, and the payment captured.
        Shipped = "SHIPPED",
        Delivered = "DELIVERED",
        Refunded = "REFUNDED",
        /// Everything that was done for it is undone.
        Cancelled = "CANCELLED",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {from} may not become {to}")]
pub(crate) struct InvalidTransition {
    pub(crate) from: Status,
    pub(crate) to: Status,
}

impl Status {
    /// The one table of moves; the database holds the same one.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Placed, Self::PaymentPending)
                | (Self::PaymentPending, Self::Confirmed)
                | (Self::Confirmed, Self::Shipped)
                | (Self::Shipped, Self::Delivered)
                | (Self::Delivered, Self::Refunded)
                | (
                    Self::Placed | Self::PaymentPending | Self::Confirmed,
                    Self::Cancelled
                )
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out once more, by hand: a slip of the pen in the table must not go unseen.
    #[test]
    fn every_pair_is_decided_as_the_design_says() {
        let allowed = [
            ("PLACED", "PAYMENT_PENDING"),
            ("PAYMENT_PENDING", "CONFIRMED"),
            ("CONFIRMED", "SHIPPED"),
            ("SHIPPED", "DELIVERED"),
            ("DELIVERED", "REFUNDED"),
            ("PLACED", "CANCELLED"),
            ("PAYMENT_PENDING", "CANCELLED"),
            ("CONFIRMED", "CANCELLED"),
        ];
        assert_eq!(Status::ALL.len(), 7);
        for from in Status::ALL {
            for to in Status::ALL {
                let expected = allowed.contains(&(from.as_str(), to.as_str()));
                assert_eq!(from.may_become(*to), expected, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn words_come_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(*status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::parse("placed"), None);
    }
}
