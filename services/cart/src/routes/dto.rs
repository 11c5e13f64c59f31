use ferrocart_types::{Currency, Money, OrderId, ProductId, Quantity, SkuId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Cart, CartStatus, Hints, Line, Offer};
use crate::error::CartError;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum CartStatusBody {
    Active,
    /// A checkout is under way.
    CheckedOut,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CartLineBody {
    sku_id: SkuId,
    product_id: ProductId,
    sku: String,
    title: String,
    quantity: Quantity,
    /// The price when the cart was last looked at.
    unit_price: Money,
    /// What it cost when the line was last put in or changed, if that was something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_unit_price: Option<Money>,
    line_total: Money,
    availability: AvailabilityBody,
    /// Units that can be bought now, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<u64>,
}

/// Whether the line could be bought now. A hint: the checkout decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AvailabilityBody {
    Available,
    /// Fewer units are left than the line has.
    Insufficient,
    SoldOut,
    /// No longer sold at all.
    NotForSale,
    /// Not asked for, or not answered. `GET /v1/cart` asks.
    Unknown,
}

/// Something that the buyer should be told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoticeBody {
    code: NoticeCode,
    sku_id: SkuId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum NoticeCode {
    /// Told until the line is changed; the line has both prices.
    PriceChanged,
    InsufficientStock,
    SoldOut,
    NotForSale,
    /// The cart had no room for all that the guest's cart held of it.
    NotMerged,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CartBody {
    /// `user:<uuid>` or `guest:<uuid>`
    cart_id: String,
    items: Vec<CartLineBody>,
    subtotal: Money,
    status: CartStatusBody,
    /// The order of the checkout that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    notices: Vec<NoticeBody>,
    /// Grows with every change.
    version: u64,
}

impl CartBody {
    pub(crate) fn new(cart: Cart, hints: &Hints, if_empty: Currency) -> Result<Self, CartError> {
        let subtotal = cart.subtotal(if_empty).map_err(|_| CartError::Total)?;
        let (status, order_id) = match cart.status {
            CartStatus::Active => (CartStatusBody::Active, None),
            CartStatus::CheckedOut { order_id } => (CartStatusBody::CheckedOut, Some(order_id)),
        };
        let items: Vec<CartLineBody> = cart
            .lines
            .into_values()
            .map(|item| line(item, hints))
            .collect::<Result<_, _>>()?;
        let mut notices: Vec<NoticeBody> = items.iter().flat_map(notices).collect();
        notices.extend(hints.left_out.iter().map(|sku_id| NoticeBody {
            code: NoticeCode::NotMerged,
            sku_id: *sku_id,
        }));
        Ok(Self {
            cart_id: cart.id.to_string(),
            items,
            subtotal,
            status,
            order_id,
            notices,
            version: cart.version,
        })
    }
}

fn line(line: Line, hints: &Hints) -> Result<CartLineBody, CartError> {
    let line_total = line.total().map_err(|_| CartError::Total)?;
    let available = hints.available.get(&line.sku_id).copied();
    let availability = match (hints.offers.get(&line.sku_id), available) {
        (Some(Offer::NotForSale | Offer::Unknown), _) => AvailabilityBody::NotForSale,
        (_, None) => AvailabilityBody::Unknown,
        (_, Some(0)) => AvailabilityBody::SoldOut,
        (_, Some(units)) if units < u64::from(line.quantity.as_u32()) => AvailabilityBody::Insufficient,
        (_, Some(_)) => AvailabilityBody::Available,
    };
    Ok(CartLineBody {
        sku_id: line.sku_id,
        product_id: line.snapshot.product_id,
        sku: line.snapshot.sku,
        title: line.snapshot.title,
        quantity: line.quantity,
        unit_price: line.snapshot.unit_price,
        previous_unit_price: line.snapshot.previous_unit_price,
        line_total,
        availability,
        available,
    })
}

fn notices(line: &CartLineBody) -> impl Iterator<Item = NoticeBody> {
    let sku_id = line.sku_id;
    let price = line.previous_unit_price.map(|_| NoticeCode::PriceChanged);
    let stock = match line.availability {
        AvailabilityBody::Insufficient => Some(NoticeCode::InsufficientStock),
        AvailabilityBody::SoldOut => Some(NoticeCode::SoldOut),
        AvailabilityBody::NotForSale => Some(NoticeCode::NotForSale),
        AvailabilityBody::Available | AvailabilityBody::Unknown => None,
    };
    price
        .into_iter()
        .chain(stock)
        .map(move |code| NoticeBody { code, sku_id })
}
