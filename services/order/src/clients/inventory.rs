use ferrocart_http_kit::{CallError, ServiceClient};
use ferrocart_types::{OrderId, Quantity, ReservationId, SkuId, Timestamp, UserId};
use serde::Deserialize;

use crate::domain::Order;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ReservationStatus {
    Reserved,
    Confirmed,
    Deducted,
    Released,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Reservation {
    #[serde(rename = "reservation_id")]
    pub(crate) id: ReservationId,
    /// Of a hold: the order that it may become.
    pub(crate) order_id: OrderId,
    #[serde(default)]
    pub(crate) buyer_id: Option<UserId>,
    pub(crate) status: ReservationStatus,
    #[serde(default)]
    pub(crate) release_reason: Option<String>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) items: Vec<ReservedItem>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ReservedItem {
    pub(crate) sku_id: SkuId,
    pub(crate) quantity: Quantity,
}

#[derive(Clone)]
pub(crate) struct InventoryClient {
    http: ServiceClient,
}

impl InventoryClient {
    pub(crate) fn new(http: ServiceClient) -> Self {
        Self { http }
    }

    /// All lines or none. The same order again gives the reservation that it has.
    pub(crate) async fn reserve(&self, order: &Order, hold_seconds: u32) -> Result<Reservation, CallError> {
        let (order, buyer, lines) = (order.id, order.customer_id, &order.lines);
        let items: Vec<_> = lines
            .iter()
            .map(|line| serde_json::json!({ "sku_id": line.sku_id, "quantity": line.quantity }))
            .collect();
        let body = serde_json::json!({
            "order_id": order, "buyer_id": buyer, "items": items, "hold_seconds": hold_seconds
        });
        self.http
            .post_once("/v1/inventory/reserve", &format!("order:{order}:reserve"), &body)
            .await
    }

    pub(crate) async fn confirm(
        &self,
        order: OrderId,
        reservation: ReservationId,
    ) -> Result<Reservation, CallError> {
        self.change(
            "confirm",
            order,
            serde_json::json!({ "reservation_id": reservation }),
        )
        .await
    }

    pub(crate) async fn deduct(
        &self,
        order: OrderId,
        reservation: ReservationId,
    ) -> Result<Reservation, CallError> {
        self.change(
            "deduct",
            order,
            serde_json::json!({ "reservation_id": reservation }),
        )
        .await
    }

    /// Releases what the order has reserved, and sees to it that it never reserves anything.
    pub(crate) async fn release(&self, order: OrderId, reason: &str) -> Result<Reservation, CallError> {
        let body = serde_json::json!({ "order_id": order, "reason": reason });
        self.change("release", order, body).await
    }

    /// Lets the reservation last so long from now on, within inventory's bounds.
    pub(crate) async fn extend(
        &self,
        reservation: ReservationId,
        hold_seconds: u32,
    ) -> Result<Reservation, CallError> {
        let body = serde_json::json!({ "reservation_id": reservation, "hold_seconds": hold_seconds });
        self.http.post("/v1/inventory/extend", &body).await
    }

    /// `None` when there is none.
    pub(crate) async fn find(&self, reservation: ReservationId) -> Result<Option<Reservation>, CallError> {
        let path = format!("/v1/inventory/reservations/{reservation}");
        match self.http.get(&path).await {
            Err(error) if error.status() == Some(404) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    async fn change(
        &self,
        verb: &str,
        order: OrderId,
        body: serde_json::Value,
    ) -> Result<Reservation, CallError> {
        let path = format!("/v1/inventory/{verb}");
        self.http
            .post_once(&path, &format!("order:{order}:{verb}"), &body)
            .await
    }
}
