//! What leads to each failpoint.

use anyhow::{Result, ensure};
use ferrocart_failpoint::Site;
use ferrocart_stack::Component;
use futures::future::try_join_all;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::buyer::{Buyer, DECLINED, GOOD, Staff};
use crate::platform::Platform;

/// How many do the same at once; the fault hits one of them.
const BUYERS: usize = 3;
/// A part of the price of every product here.
const PART_MINOR: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// A cart becomes a confirmed order.
    Buy,
    /// A card that is declined.
    Decline,
    /// A confirmed order is cancelled.
    Cancel,
    /// A confirmed order is shipped.
    Ship,
    /// Of a delivered order a part is paid back, and then the rest.
    Refund,
    /// A hold becomes an order, which is paid later.
    Redeem,
    /// A hold becomes an order, which is paid at the provider: a webhook alone tells of it.
    PayThere,
}

impl Scenario {
    /// One in which the step is taken.
    pub(crate) const fn reaching(site: Site) -> Self {
        match site {
            Site::OrderPlace
            | Site::OrderReserve
            | Site::OrderAuthorize
            | Site::OrderConfirm
            | Site::OrderReserveRecord
            | Site::OrderAuthorizeRecord
            | Site::OrderConfirmRecord
            | Site::InventoryReserve
            | Site::InventoryConfirm
            | Site::PaymentAuthorize
            | Site::PaymentAuthorizeRecord
            | Site::CartMark
            | Site::ConsumerApply
            | Site::RelayPublish => Self::Buy,
            Site::OrderRelease | Site::OrderReleaseRecord => Self::Decline,
            Site::OrderVoid
            | Site::OrderVoidRecord
            | Site::InventoryRelease
            | Site::PaymentVoid
            | Site::PaymentVoidRecord => Self::Cancel,
            Site::OrderDeduct
            | Site::OrderDeductRecord
            | Site::OrderCapture
            | Site::OrderCaptureRecord
            | Site::InventoryDeduct
            | Site::PaymentCapture
            | Site::PaymentCaptureRecord => Self::Ship,
            Site::OrderRefund | Site::OrderRefundRecord | Site::PaymentRefund | Site::PaymentRefundRecord => {
                Self::Refund
            }
            Site::InventoryExtend => Self::Redeem,
            Site::PaymentWebhook => Self::PayThere,
        }
    }

    /// Where its orders end when the fault is overcome.
    pub(crate) const fn end(self) -> &'static str {
        match self {
            Self::Buy | Self::Redeem | Self::PayThere => "CONFIRMED",
            Self::Decline | Self::Cancel => "CANCELLED",
            Self::Ship => "SHIPPED",
            Self::Refund => "REFUNDED",
        }
    }
}

/// Buyers who are about to do it.
pub(crate) struct Cast {
    scenario: Scenario,
    actors: Vec<Actor>,
    staff: Staff,
    provider: String,
}

struct Actor {
    buyer: Buyer,
    sku: String,
    /// From before, where the scenario begins with one.
    order_id: Option<String>,
}

impl Cast {
    /// Everything up to the step that is to go wrong.
    pub(crate) async fn prepare(
        scenario: Scenario,
        platform: &Platform,
        chance: &mut ChaCha8Rng,
    ) -> Result<Self> {
        let staff = platform.staff().await?;
        let skus: Vec<String> = (0..BUYERS).map(|_| platform.a_sku(chance).to_owned()).collect();
        let actors = skus
            .into_iter()
            .map(|sku| prepare(scenario, platform, &staff, sku));
        Ok(Self {
            scenario,
            actors: try_join_all(actors).await?,
            staff,
            provider: platform.stack.url(Component::PspSandbox),
        })
    }

    /// Takes the step. Answers the orders.
    pub(crate) async fn act(&self) -> Result<Vec<String>> {
        try_join_all(self.actors.iter().map(|actor| self.one(actor))).await
    }

    async fn one(&self, actor: &Actor) -> Result<String> {
        let Actor { buyer, sku, order_id } = actor;
        match (self.scenario, order_id) {
            (Scenario::Buy, _) => buyer.check_out(GOOD).await,
            (Scenario::Decline, _) => buyer.check_out(DECLINED).await,
            (Scenario::Redeem, _) => buyer.redeem(sku).await,
            (Scenario::PayThere, _) => buyer.pay_there(sku, &self.provider).await,
            (Scenario::Cancel, Some(order)) => buyer.cancel(order).await.map(|()| order.clone()),
            (Scenario::Ship, Some(order)) => self.staff.ship(order).await.map(|()| order.clone()),
            (Scenario::Refund, Some(order)) => {
                self.staff.refund_part(order, PART_MINOR).await?;
                self.staff.refund(order).await.map(|()| order.clone())
            }
            (Scenario::Cancel | Scenario::Ship | Scenario::Refund, None) => {
                anyhow::bail!("an actor without an order")
            }
        }
    }

    /// Whether all have come to where they were going.
    pub(crate) async fn arrived(&self, orders: &[String]) -> Result<()> {
        let end = self.scenario.end();
        for (actor, order_id) in self.actors.iter().zip(orders) {
            let order = actor.buyer.order(order_id).await?;
            ensure!(
                order["status"] == end,
                "the order {order_id} is {} instead of {end}",
                order["status"]
            );
            if self.scenario == Scenario::Refund {
                let parts: Vec<&Value> = order["refunds"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|refund| &refund["amount"]["amount_minor"])
                    .collect();
                let total = &order["total"]["amount_minor"];
                ensure!(
                    parts.len() == 2 && parts[0] == PART_MINOR && order["refunded"]["amount_minor"] == *total,
                    "of the order {order_id} went back {parts:?} of {total}"
                );
            }
        }
        Ok(())
    }
}

async fn prepare(scenario: Scenario, platform: &Platform, staff: &Staff, sku: String) -> Result<Actor> {
    let buyer = match scenario {
        Scenario::Redeem | Scenario::PayThere => Buyer::customer(&platform.client).await?,
        _ => Buyer::guest(&platform.client).await?,
    };
    if !matches!(scenario, Scenario::Redeem | Scenario::PayThere) {
        buyer.fill_cart(&sku).await?;
    }
    let order_id = match scenario {
        Scenario::Buy | Scenario::Decline | Scenario::Redeem | Scenario::PayThere => None,
        Scenario::Cancel | Scenario::Ship | Scenario::Refund => Some(buyer.check_out(GOOD).await?),
    };
    if let (Scenario::Refund, Some(order_id)) = (scenario, &order_id) {
        staff.ship(order_id).await?;
        staff.deliver(order_id).await?;
    }
    Ok(Actor { buyer, sku, order_id })
}
