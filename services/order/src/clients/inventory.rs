use ferrocart_http_kit::{CallError, ServiceClient};
use ferrocart_types::{OrderId, ReservationId};
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
    pub(crate) reservation_id: ReservationId,
    pub(crate) status: ReservationStatus,
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

    pub(crate) async fn release(
        &self,
        order: OrderId,
        reservation: ReservationId,
        reason: &str,
    ) -> Result<Reservation, CallError> {
        let body = serde_json::json!({ "reservation_id": reservation, "reason": reason });
        self.change("release", order, body).await
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
