//! From the wire to the domain.

use ferrocart_contracts::v1;
use ferrocart_contracts::{Envelope, EnvelopeError, Event};
use ferrocart_types::{Email, InvalidCurrency, InvalidEmail, InvalidId, Money, MoneyError, OrderId, UserId};

use crate::domain::{Content, Line, Occasion};

/// Text that a merchant or a carrier wrote stands in one line of an e-mail, this long at most.
const TEXT_CHARS_MAX: usize = 300;

/// An event that somebody gets an e-mail about.
#[derive(Debug, Clone)]
pub(super) struct OrderNews {
    pub(super) order_id: OrderId,
    pub(super) order_sequence: i64,
    pub(super) customer_id: UserId,
    /// `None` for an order without an address: there is nobody to write to.
    pub(super) recipient: Option<Email>,
    pub(super) content: Content,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BadEvent {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("the event has no {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error("order.email: {0}")]
    Email(#[from] InvalidEmail),
    #[error(transparent)]
    Currency(#[from] InvalidCurrency),
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// `None` for events that nobody gets an e-mail about.
pub(super) fn news(envelope: &Envelope) -> Result<Option<OrderNews>, BadEvent> {
    let (order, occasion) = match envelope.event_type.as_str() {
        v1::OrderConfirmed::TYPE => (
            envelope.decode::<v1::OrderConfirmed>()?.order,
            Occasion::Confirmed,
        ),
        v1::OrderShipped::TYPE => {
            let event = envelope.decode::<v1::OrderShipped>()?;
            let occasion = Occasion::Shipped {
                carrier: one_line(&event.carrier),
                tracking_number: one_line(&event.tracking_number),
            };
            (event.order, occasion)
        }
        v1::OrderDelivered::TYPE => (
            envelope.decode::<v1::OrderDelivered>()?.order,
            Occasion::Delivered,
        ),
        v1::OrderCancelled::TYPE => {
            let event = envelope.decode::<v1::OrderCancelled>()?;
            let occasion = Occasion::Cancelled { reason: event.reason };
            (event.order, occasion)
        }
        v1::OrderPartiallyRefunded::TYPE => {
            let event = envelope.decode::<v1::OrderPartiallyRefunded>()?;
            let amount = event.amount.as_ref().ok_or(BadEvent::Missing("amount"))?;
            let occasion = Occasion::Refunded {
                amount: amount.try_into()?,
                partly: true,
            };
            (event.order, occasion)
        }
        v1::OrderRefunded::TYPE => {
            let event = envelope.decode::<v1::OrderRefunded>()?;
            let amount = event.amount.as_ref().ok_or(BadEvent::Missing("amount"))?;
            let occasion = Occasion::Refunded {
                amount: amount.try_into()?,
                partly: false,
            };
            (event.order, occasion)
        }
        _ => return Ok(None),
    };
    let order = order.ok_or(BadEvent::Missing("order"))?;
    let total = order.total.as_ref().ok_or(BadEvent::Missing("total"))?;
    let recipient = match order.email.as_str() {
        "" => None,
        email => Some(Email::parse(email)?),
    };
    Ok(Some(OrderNews {
        order_id: order.order_id.parse()?,
        order_sequence: order.sequence,
        customer_id: order.customer_id.parse()?,
        recipient,
        content: Content {
            occasion,
            lines: order.lines.iter().map(line).collect::<Result<_, _>>()?,
            total: Some(total.try_into()?),
        },
    }))
}

fn line(line: &v1::OrderLine) -> Result<Line, BadEvent> {
    let unit_price = line.unit_price.as_ref().ok_or(BadEvent::Missing("unit_price"))?;
    let unit_price: Money = unit_price.try_into()?;
    Ok(Line {
        sku: one_line(&line.sku).unwrap_or_default(),
        title: one_line(&line.title).unwrap_or_default(),
        quantity: line.quantity,
        unit_price,
        total: unit_price.checked_mul(line.quantity)?,
    })
}

/// A title with line breaks could pretend to be another part of the e-mail.
fn one_line(text: &str) -> Option<String> {
    let visible: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut line = String::new();
    for word in visible.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    (!line.is_empty()).then(|| line.chars().take(TEXT_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_one_line() {
        assert_eq!(
            one_line("a\r\nBcc: x@y.zz\u{85} \u{2028}b").unwrap(),
            "a Bcc: x@y.zz b"
        );
        assert_eq!(one_line(" \n "), None);
        assert_eq!(
            one_line(&"é".repeat(5000)).unwrap().chars().count(),
            TEXT_CHARS_MAX
        );
    }
}
