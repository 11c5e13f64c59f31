use anyhow::Context;
use ferrocart_contracts::v1::ReservationExpired;
use ferrocart_contracts::{Envelope, Event};

use super::News;

/// Of all that happens to stock, an order needs to know that its reservation has run out. A reservation
/// of several SKUs tells so several times; the first one counts.
pub(super) fn news(envelope: &Envelope) -> anyhow::Result<Option<News>> {
    if envelope.event_type != ReservationExpired::TYPE {
        return Ok(None);
    }
    let line = envelope
        .decode::<ReservationExpired>()?
        .line
        .context("ReservationExpired without its line")?;
    Ok(Some(News::ReservationExpired(line.order_id.parse()?)))
}
