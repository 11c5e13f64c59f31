use ferrocart_types::PaymentId;

words! {
    /// What payment says of an order's payment.
    pub(crate) enum PaymentStatus {
        Pending = "PENDING",
        RequiresAction = "REQUIRES_ACTION",
        Authorized = "AUTHORIZED",
        Declined = "DECLINED",
        Captured = "CAPTURED",
        Voided = "VOIDED",
        Refunded = "REFUNDED",
        Failed = "FAILED",
    }
}

impl PaymentStatus {
    /// How far along a payment is. News come by two ways, the saga's calls and payment-events, and may
    /// overtake each other: the status never goes back to a lower rank.
    pub(crate) const fn rank(self) -> i16 {
        match self {
            Self::Pending => 1,
            Self::RequiresAction => 2,
            Self::Authorized => 3,
            Self::Declined | Self::Failed => 4,
            Self::Captured | Self::Voided => 5,
            Self::Refunded => 6,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaymentFact {
    pub(crate) payment_id: PaymentId,
    pub(crate) status: PaymentStatus,
    /// What went back to the customer, in minor units.
    pub(crate) refunded_minor: i64,
}

impl PaymentFact {
    /// What is known after hearing `news`.
    pub(crate) fn after(known: Option<Self>, news: Self) -> Self {
        let Some(known) = known else { return news };
        let newest = if known.status.rank() > news.status.rank() {
            known
        } else {
            news
        };
        Self {
            // It only ever grows; a payment of which a part went back has the same status as before.
            refunded_minor: known.refunded_minor.max(news.refunded_minor),
            ..newest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_news_change_nothing() {
        let payment_id = PaymentId(uuid::Uuid::nil());
        let fact = |status| PaymentFact {
            payment_id,
            status,
            refunded_minor: 0,
        };
        let partly = PaymentFact {
            refunded_minor: 5,
            ..fact(PaymentStatus::Captured)
        };
        let captured = Some(fact(PaymentStatus::Captured));
        assert_eq!(
            PaymentFact::after(captured, fact(PaymentStatus::Authorized)),
            fact(PaymentStatus::Captured)
        );
        assert_eq!(
            PaymentFact::after(captured, fact(PaymentStatus::Refunded)),
            fact(PaymentStatus::Refunded)
        );
        assert_eq!(PaymentFact::after(captured, partly), partly);
        assert_eq!(
            PaymentFact::after(Some(partly), fact(PaymentStatus::Captured)),
            partly
        );
        assert_eq!(
            PaymentFact::after(None, fact(PaymentStatus::Pending)),
            fact(PaymentStatus::Pending)
        );
    }
}
