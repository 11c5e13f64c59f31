//! From the wire to what a merchant is told.

use chrono::SecondsFormat;
use ferrocart_contracts::{Envelope, Event, v1};
use ferrocart_types::{ProductId, SkuId, Timestamp, UserId};
use serde_json::{Map, Value, json};

use super::parse::BadEvent;
use crate::domain::EventType;
use crate::store::Owned;

/// Cancellations of orders that nobody had been told of: they were never confirmed.
const NEVER_CONFIRMED: [&str; 6] = [
    "INSUFFICIENT_STOCK",
    "RESERVATION_REFUSED",
    "RESERVATION_EXPIRED",
    "PAYMENT_DECLINED",
    "PAYMENT_FAILED",
    "PAYMENT_TIMEOUT",
];

/// An event that merchants may be told of.
#[derive(Debug, Clone)]
pub(super) enum News {
    Product {
        owned: Owned,
        data: Value,
    },
    /// The event does not say whose it was.
    ProductDeleted {
        product_id: ProductId,
        data: Value,
    },
    Order(OrderNews),
    StockLow {
        sku_id: SkuId,
        data: Map<String, Value>,
    },
}

#[derive(Debug, Clone)]
pub(super) struct OrderNews {
    pub(super) event_type: EventType,
    order: v1::Order,
    products: Vec<ProductId>,
    /// What is told of this step, to all of its merchants.
    details: Map<String, Value>,
    /// What is told only to a merchant to whom all of the order belongs.
    amounts: Map<String, Value>,
}

/// `None` for events that merchants are not told of.
pub(super) fn merchant_news(envelope: &Envelope) -> Result<Option<News>, BadEvent> {
    Ok(Some(match envelope.event_type.as_str() {
        v1::ProductUpserted::TYPE => {
            let event = envelope.decode::<v1::ProductUpserted>()?;
            product(event.product.as_ref().ok_or(BadEvent::Missing("product"))?)?
        }
        v1::ProductDeleted::TYPE => {
            let event = envelope.decode::<v1::ProductDeleted>()?;
            News::ProductDeleted {
                product_id: event.product_id.parse()?,
                data: json!({"product_id": event.product_id, "version": event.version}),
            }
        }
        v1::StockLow::TYPE => {
            let event = envelope.decode::<v1::StockLow>()?;
            let data = json!({"sku_id": event.sku_id, "available": event.available,
                "threshold": event.threshold, "version": event.version});
            News::StockLow {
                sku_id: event.sku_id.parse()?,
                data: members(data),
            }
        }
        _ => return order(envelope),
    }))
}

fn order(envelope: &Envelope) -> Result<Option<News>, BadEvent> {
    let nothing = || json!({});
    let (event_type, order, details, amounts) = match envelope.event_type.as_str() {
        v1::OrderConfirmed::TYPE => {
            let event = envelope.decode::<v1::OrderConfirmed>()?;
            (EventType::OrderConfirmed, event.order, nothing(), nothing())
        }
        v1::OrderShipped::TYPE => {
            let event = envelope.decode::<v1::OrderShipped>()?;
            let details = json!({"carrier": event.carrier, "tracking_number": event.tracking_number});
            (EventType::OrderShipped, event.order, details, nothing())
        }
        v1::OrderDelivered::TYPE => {
            let event = envelope.decode::<v1::OrderDelivered>()?;
            (EventType::OrderDelivered, event.order, nothing(), nothing())
        }
        v1::OrderCancelled::TYPE => {
            let event = envelope.decode::<v1::OrderCancelled>()?;
            if NEVER_CONFIRMED.contains(&event.reason.as_str()) {
                return Ok(None);
            }
            let details = json!({"reason": event.reason});
            (EventType::OrderCancelled, event.order, details, nothing())
        }
        v1::OrderPartiallyRefunded::TYPE => {
            let event = envelope.decode::<v1::OrderPartiallyRefunded>()?;
            let details = json!({"reason": event.reason});
            let amounts =
                json!({"amount": money(event.amount.as_ref()), "refunded": money(event.refunded.as_ref())});
            (EventType::OrderPartiallyRefunded, event.order, details, amounts)
        }
        v1::OrderRefunded::TYPE => {
            let event = envelope.decode::<v1::OrderRefunded>()?;
            let details = json!({"reason": event.reason});
            let amounts =
                json!({"amount": money(event.amount.as_ref()), "refunded": money(event.refunded.as_ref())});
            (EventType::OrderRefunded, event.order, details, amounts)
        }
        _ => return Ok(None),
    };
    let order = order.ok_or(BadEvent::Missing("order"))?;
    let products = order.lines.iter().map(|line| line.product_id.parse());
    Ok(Some(News::Order(OrderNews {
        event_type,
        products: products.collect::<Result<_, _>>()?,
        order,
        details: members(details),
        amounts: members(amounts),
    })))
}

impl OrderNews {
    /// Of the lines, in their order.
    pub(super) fn products(&self) -> &[ProductId] {
        &self.products
    }

    /// What one merchant is told: the lines that are theirs, and nothing of who bought them.
    pub(super) fn data_for(&self, merchant: UserId, owner: impl Fn(ProductId) -> Option<UserId>) -> Value {
        let owned: Vec<&v1::OrderLine> = self
            .order
            .lines
            .iter()
            .zip(&self.products)
            .filter(|(_, product)| owner(**product) == Some(merchant))
            .map(|(line, _)| line)
            .collect();
        let complete = owned.len() == self.order.lines.len();
        let items: Vec<Value> = owned
            .iter()
            .map(|line| {
                json!({"sku_id": line.sku_id, "product_id": line.product_id, "sku": line.sku, "title": line.title,
                    "quantity": line.quantity, "unit_price": money(line.unit_price.as_ref())})
            })
            .collect();
        let mut data = members(
            json!({"order_id": self.order.order_id, "sequence": self.order.sequence,
            "items": items, "complete": complete}),
        );
        data.extend(self.details.clone());
        if complete {
            data.extend(self.amounts.clone());
        }
        Value::Object(data)
    }
}

fn product(product: &v1::Product) -> Result<News, BadEvent> {
    let skus = product.variants.iter().map(|variant| variant.sku_id.parse());
    let owned = Owned {
        product_id: product.product_id.parse()?,
        merchant_id: product.merchant_id.parse()?,
        version: product.version,
        skus: skus.collect::<Result<_, _>>()?,
    };
    let status = match product.status() {
        v1::ProductStatus::Active => "ACTIVE",
        v1::ProductStatus::Archived => "ARCHIVED",
        v1::ProductStatus::Draft | v1::ProductStatus::Unspecified => "DRAFT",
    };
    let variants: Vec<Value> = product
        .variants
        .iter()
        .map(|variant| {
            json!({"sku_id": variant.sku_id, "sku": variant.sku, "price": money(variant.price.as_ref())})
        })
        .collect();
    let data = json!({"product_id": product.product_id, "version": product.version, "handle": product.handle,
        "title": product.title, "status": status, "variants": variants});
    Ok(News::Product { owned, data })
}

/// The body of a message: what the specification recommends.
pub(crate) fn body(event: EventType, at: Timestamp, data: &Value) -> String {
    let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({"type": event.as_str(), "timestamp": timestamp, "data": data}).to_string()
}

fn money(money: Option<&v1::Money>) -> Value {
    money.map_or(
        Value::Null,
        |money| json!({"amount_minor": money.amount_minor, "currency": money.currency}),
    )
}

/// Of what is written as an object above.
fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
