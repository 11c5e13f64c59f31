use chrono::SecondsFormat;
use ferrocart_types::{SkuId, UserId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::Created;
use crate::domain::{Counters, Line, ReleaseReason, Reservation};

/// The counters of one SKU.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct StockDto {
    #[schema(value_type = String, format = "uuid")]
    pub(crate) sku_id: SkuId,
    /// Units in the warehouse.
    #[schema(minimum = 0)]
    pub(crate) on_hand: i64,
    /// Units set aside for orders.
    #[schema(minimum = 0)]
    pub(crate) reserved: i64,
    /// Units that can be sold: on_hand less reserved.
    #[schema(minimum = 0)]
    pub(crate) available: i64,
    /// Grows with every change; the ETag.
    pub(crate) version: i64,
}

impl StockDto {
    pub(crate) fn new(sku_id: SkuId, counters: Counters) -> Self {
        Self {
            sku_id,
            on_hand: counters.on_hand,
            reserved: counters.reserved,
            available: counters.available(),
            version: counters.version,
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct StockListDto {
    pub(crate) items: Vec<StockDto>,
}

/// Whether an initialisation made the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StockOutcome {
    Created,
    /// The SKU had stock and keeps it.
    Existing,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct StockOutcomeDto {
    #[serde(flatten)]
    pub(crate) stock: StockDto,
    pub(crate) status: StockOutcome,
}

impl From<Created> for StockOutcomeDto {
    fn from(created: Created) -> Self {
        Self {
            stock: StockDto::new(created.sku, created.counters),
            status: if created.created {
                StockOutcome::Created
            } else {
                StockOutcome::Existing
            },
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct StockOutcomeListDto {
    pub(crate) items: Vec<StockOutcomeDto>,
}

// Ids are strings here and become typed in the handlers, where a bad one gets the code of its kind.

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InitialiseDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    pub(crate) sku_id: String,
    #[garde(range(min = 0, max = Counters::ON_HAND_MAX))]
    #[schema(minimum = 0)]
    pub(crate) on_hand: i64,
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InitialiseBatchDto {
    #[garde(length(min = 1, max = 1000), dive)]
    #[schema(min_items = 1, max_items = 1000)]
    pub(crate) items: Vec<InitialiseDto>,
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetDto {
    #[garde(range(min = 0, max = Counters::ON_HAND_MAX))]
    #[schema(minimum = 0)]
    pub(crate) on_hand: i64,
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdjustDto {
    /// Units to add, or to take when negative; not 0.
    #[garde(range(min = -Counters::ON_HAND_MAX, max = Counters::ON_HAND_MAX), custom(not_zero))]
    pub(crate) delta: i64,
    /// Why, such as "stock take".
    #[garde(length(chars, min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) reason: String,
    /// web, store or marketplace.
    #[garde(skip)]
    #[schema(example = "web")]
    pub(crate) channel: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn not_zero(delta: &i64, _context: &()) -> garde::Result {
    if *delta == 0 {
        return Err(garde::Error::new("must not be 0"));
    }
    Ok(())
}

#[derive(Debug, Clone, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    pub(crate) sku_id: String,
    /// 1 to 10,000.
    #[garde(skip)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub(crate) quantity: i64,
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReserveDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    pub(crate) order_id: String,
    /// For whom: the limits of flash sales count by buyer.
    #[garde(skip)]
    #[serde(default)]
    #[schema(format = "uuid")]
    pub(crate) buyer_id: Option<String>,
    /// Lines that share a SKU are summed.
    #[garde(length(min = 1, max = 100), dive)]
    #[schema(min_items = 1, max_items = 100)]
    pub(crate) items: Vec<ItemDto>,
    /// How long the units are held: 10 to 3,600 s, 900 by default.
    #[garde(skip)]
    #[serde(default)]
    #[schema(minimum = 10, maximum = 3600)]
    pub(crate) hold_seconds: Option<i64>,
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReservationCommandDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    pub(crate) reservation_id: String,
    /// Taken and passed over.
    #[garde(skip)]
    #[serde(default)]
    #[schema(example = "CANCELLED")]
    #[expect(dead_code, reason = "a part of the contract that has no meaning here")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    pub(crate) reservation_id: String,
    /// How long it is to last from now on: 10 to 3,600 s; never longer than an hour after it was made.
    #[garde(skip)]
    #[schema(minimum = 10, maximum = 3600)]
    pub(crate) hold_seconds: i64,
}

/// Exactly one of the ids.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseDto {
    #[garde(skip)]
    #[serde(default)]
    #[schema(format = "uuid")]
    pub(crate) reservation_id: Option<String>,
    /// For services: releases what the order has, now or later.
    #[garde(skip)]
    #[serde(default)]
    #[schema(format = "uuid")]
    pub(crate) order_id: Option<String>,
    /// CANCELLED (the default) or PAYMENT_FAILED.
    #[garde(skip)]
    #[serde(default)]
    #[schema(example = "CANCELLED")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HoldRequest)]
pub(crate) struct PlaceHoldDto {
    #[garde(skip)]
    #[schema(format = "uuid")]
    pub(crate) sku_id: String,
    /// 1 to 10,000.
    #[garde(skip)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub(crate) quantity: i64,
}

/// Units that a buyer holds.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Hold)]
pub(crate) struct HoldDto {
    #[schema(format = "uuid")]
    hold_id: String,
    #[schema(format = "uuid")]
    sku_id: String,
    quantity: i64,
    /// Until when nobody else can buy them.
    #[schema(format = "date-time")]
    expires_at: String,
    /// RESERVED; CONFIRMED or DEDUCTED when an order has them; RELEASED.
    #[schema(value_type = String, example = "RESERVED")]
    status: &'static str,
    /// CANCELLED, PAYMENT_FAILED or EXPIRED, when RELEASED.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    release_reason: Option<&'static str>,
}

impl From<&Reservation> for HoldDto {
    fn from(hold: &Reservation) -> Self {
        // A hold is of one SKU.
        let line = hold.lines.as_slice().first();
        Self {
            hold_id: hold.id().to_string(),
            sku_id: line.map(|line| line.sku.to_string()).unwrap_or_default(),
            quantity: line.map_or(0, Line::units),
            expires_at: hold.expires_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            status: hold.state.as_str(),
            release_reason: hold.state.release_reason().map(ReleaseReason::as_str),
        }
    }
}

/// Units set aside for an order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ReservationDto {
    #[schema(format = "uuid")]
    reservation_id: String,
    #[schema(format = "uuid")]
    order_id: String,
    /// For whom, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    buyer_id: Option<UserId>,
    /// RESERVED, CONFIRMED, DEDUCTED or RELEASED.
    #[schema(value_type = String, example = "RESERVED")]
    status: &'static str,
    /// CANCELLED, PAYMENT_FAILED or EXPIRED, when RELEASED.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    release_reason: Option<&'static str>,
    /// Until when the units are held unless the reservation is confirmed.
    #[schema(format = "date-time")]
    expires_at: String,
    items: Vec<ItemDto>,
}

impl From<&Reservation> for ReservationDto {
    fn from(reservation: &Reservation) -> Self {
        let items = reservation.lines.iter().map(|line| ItemDto {
            sku_id: line.sku.to_string(),
            quantity: line.units(),
        });
        Self {
            reservation_id: reservation.id().to_string(),
            order_id: reservation.order_id.to_string(),
            buyer_id: reservation.buyer,
            status: reservation.state.as_str(),
            release_reason: reservation.state.release_reason().map(ReleaseReason::as_str),
            expires_at: reservation
                .expires_at
                .to_rfc3339_opts(SecondsFormat::Micros, true),
            items: items.collect(),
        }
    }
}
