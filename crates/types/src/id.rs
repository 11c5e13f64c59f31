use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text was not a UUID; `kind` names the id that was expected, such as `order_id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: a UUID is expected")]
pub struct InvalidId {
    pub kind: &'static str,
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid, format = "uuid")]
        pub struct $name(pub Uuid);

        impl $name {
            /// The field name under which this id stands in JSON.
            pub const KIND: &'static str = $kind;

            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(value: Uuid) -> Self {
                Self(value)
            }
        }

        impl From<$name> for Uuid {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId { kind: $kind })
            }
        }
    )+};
}

typed_id! {
    /// A registered user or, for a guest, the guest session.
    UserId = "user_id";
    ProductId = "product_id";
    CategoryId = "category_id";
    ReviewId = "review_id";
    /// One sellable variant; the unit that stock is counted in.
    SkuId = "sku_id";
    ReservationId = "reservation_id";
    OrderId = "order_id";
    PaymentId = "payment_id";
    NotificationId = "notification_id";
    EndpointId = "endpoint_id";
    SagaId = "saga_id";
    /// A CloudEvents `id`, the key of every inbox.
    EventId = "event_id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_id_names_its_kind() {
        let error = "no-uuid".parse::<OrderId>().unwrap_err();
        assert_eq!(error.to_string(), "not a valid order_id: a UUID is expected");
    }

    #[test]
    fn an_id_is_a_plain_string_in_json() {
        let id = SkuId(Uuid::nil());
        assert_eq!(
            serde_json::to_string(&id).unwrap(),
            "\"00000000-0000-0000-0000-000000000000\""
        );
    }
}
