//! Paying at the provider, as its own client does it in the buyer's browser.

use serde_json::json;

use super::{Outcome, Told};
use crate::dto::{AtProvider, Hold, Order, OrderStatus, Variant};
use crate::report::Unmet;
use crate::shop::{CARD_DECLINED, CARD_GOOD, Session, Shop, checkout_body, unique};

/// A hold becomes an order without a card; the buyer's first card is declined, which ends nothing, and the
/// second one pays.
pub(super) async fn pay_there(
    shop: &Shop<'_>,
    who: &Session,
    stranger: &Session,
    variant: &Variant,
) -> Outcome<()> {
    let body = json!({"sku_id": variant.sku_id, "quantity": 1});
    let request = shop.api.post("/v1/holds", body).token(&who.token).key(&unique());
    let hold: Hold = request.send().await?.expect(&[201])?.read()?;
    let mut body = checkout_body(CARD_GOOD);
    body["hold_id"] = json!(hold.hold_id);
    if let Some(body) = body.as_object_mut() {
        body.remove("payment_method");
    }
    let request = shop.api.post("/v1/orders", body).token(&who.token).key(&unique());
    let order: Order = request.send().await?.expect(&[202])?.read()?;
    let payable = |order: &Order| {
        order.status == OrderStatus::PaymentPending
            && order
                .payment
                .as_ref()
                .is_some_and(|payment| payment.status == "PENDING")
    };
    let order = shop
        .order_when(
            who,
            order.order_id,
            "the order PAYMENT_PENDING, to be paid",
            payable,
        )
        .await?;
    let payment = order.payment.as_ref().ok_or_else(|| Unmet::new("a payment"))?;
    let path = format!("/v1/payments/{}/client-secret", payment.payment_id);
    shop.api
        .get(&path)
        .token(&stranger.token)
        .send()
        .await?
        .problem_code(404, "PAYMENT_NOT_FOUND")?;
    let answer = shop
        .api
        .get(&path)
        .token(&who.token)
        .send()
        .await?
        .expect(&[200])?;
    let secret: AtProvider = answer.read()?;
    let declined = confirm(shop, &secret, CARD_DECLINED).await?;
    let paid = confirm(shop, &secret, CARD_GOOD).await?;
    if (declined, paid) != (402, 200) {
        return Err(Unmet::new(format!(
            "402 and 200 from the provider, which answered {declined} and {paid}"
        )));
    }
    let confirmed = |order: &Order| order.status == OrderStatus::Confirmed;
    let order = shop
        .order_when(who, order.order_id, "the order CONFIRMED", confirmed)
        .await?;
    let detail = format!("declined {declined}, paid {paid}, CONFIRMED, {}", order.total);
    Ok(Told::new((), detail).note(format!("order {}", order.order_id)))
}

/// Answers the provider's status.
async fn confirm(shop: &Shop<'_>, secret: &AtProvider, card: &str) -> Result<u16, Unmet> {
    let Some((intent, _)) = secret.client_secret.split_once("_secret_") else {
        return Err(Unmet::new("a client secret that names its payment intent"));
    };
    let provider = shop.options.provider_url.trim_end_matches('/');
    let url = format!("{provider}/v1/payment_intents/{intent}/confirm");
    // Letters, digits and underscores alone, which need no encoding.
    let form = format!("client_secret={}&payment_method={card}", secret.client_secret);
    shop.api.post_form(&url, &secret.publishable_key, form).await
}
