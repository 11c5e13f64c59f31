use ferrocart_http_kit::{CallError, ServiceClient};
use ferrocart_types::{Money, OrderId, PaymentId, SagaId, UserId};
use serde::Deserialize;

use crate::domain::{PaymentFact, PaymentStatus};

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PaymentView {
    /// Absent for the void of an order that has no payment.
    #[serde(default)]
    payment_id: Option<PaymentId>,
    pub(crate) status: PaymentStatus,
    /// What went back in all.
    #[serde(default)]
    refunded: Option<Money>,
}

impl PaymentView {
    pub(crate) fn fact(&self) -> Option<PaymentFact> {
        self.payment_id.map(|payment_id| PaymentFact {
            payment_id,
            status: self.status,
            refunded_minor: self.refunded.map_or(0, |refunded| refunded.amount_minor),
        })
    }
}

#[derive(Clone)]
pub(crate) struct PaymentClient {
    http: ServiceClient,
}

impl PaymentClient {
    pub(crate) fn new(http: ServiceClient) -> Self {
        Self { http }
    }

    /// Without a method the customer is to pay at the provider.
    pub(crate) async fn authorize(
        &self,
        order: OrderId,
        customer: UserId,
        amount: Money,
        payment_method: Option<&str>,
    ) -> Result<PaymentView, CallError> {
        let mut body = serde_json::json!({ "order_id": order, "customer_id": customer, "amount": amount });
        // A method that is named later is a request of its own.
        let key = match payment_method {
            Some(method) => {
                body["payment_method"] = method.into();
                format!("order:{order}:authorize")
            }
            None => format!("order:{order}:open"),
        };
        self.http.post_once("/internal/v1/payments", &key, &body).await
    }

    /// The payment of an order, `None` when there is none.
    pub(crate) async fn of_order(&self, order: OrderId) -> Result<Option<PaymentView>, CallError> {
        match self
            .http
            .get(&format!("/internal/v1/payments/by-order/{order}"))
            .await
        {
            Err(error) if error.status() == Some(404) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Gives back a part, or all that is left; each refund once.
    pub(crate) async fn refund(
        &self,
        order: OrderId,
        refund: SagaId,
        amount: Option<Money>,
    ) -> Result<PaymentView, CallError> {
        let path = format!("/internal/v1/payments/by-order/{order}/refund");
        let body = match amount {
            Some(amount) => serde_json::json!({ "amount": amount }),
            None => serde_json::json!({}),
        };
        let key = format!("order:{order}:refund:{refund}");
        self.http.post_once(&path, &key, &body).await
    }

    /// `verb` is `capture`, `void` or `refund`: in full, and once for an order.
    pub(crate) async fn change(&self, verb: &str, order: OrderId) -> Result<PaymentView, CallError> {
        let path = format!("/internal/v1/payments/by-order/{order}/{verb}");
        self.http
            .post_once(&path, &format!("order:{order}:{verb}"), &serde_json::json!({}))
            .await
    }
}
