use ferrocart_types::{Currency, Money, OrderId, ProductId, Quantity, SkuId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Cart, CartStatus, Line};
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
    /// The price when the line was last put in or changed.
    unit_price: Money,
    line_total: Money,
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
    /// Grows with every change.
    version: u64,
}

impl CartBody {
    pub(crate) fn new(cart: Cart, if_empty: Currency) -> Result<Self, CartError> {
        let subtotal = cart.subtotal(if_empty).map_err(|_| CartError::Total)?;
        let (status, order_id) = match cart.status {
            CartStatus::Active => (CartStatusBody::Active, None),
            CartStatus::CheckedOut { order_id } => (CartStatusBody::CheckedOut, Some(order_id)),
        };
        let items = cart.lines.into_values().map(line).collect::<Result<_, _>>()?;
        Ok(Self {
            cart_id: cart.id.to_string(),
            items,
            subtotal,
            status,
            order_id,
            version: cart.version,
        })
    }
}

fn line(line: Line) -> Result<CartLineBody, CartError> {
    let line_total = line.total().map_err(|_| CartError::Total)?;
    Ok(CartLineBody {
        sku_id: line.sku_id,
        product_id: line.snapshot.product_id,
        sku: line.snapshot.sku,
        title: line.snapshot.title,
        quantity: line.quantity,
        unit_price: line.snapshot.unit_price,
        line_total,
    })
}
