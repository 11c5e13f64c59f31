//! Who may see and change which order. What a caller may not see does not exist for it.

use ferrocart_http_kit::{Caller, Role};
use ferrocart_types::UserId;

use crate::domain::Order;

const STAFF: [Role; 4] = [Role::Support, Role::Admin, Role::Warehouse, Role::Service];

pub(super) fn owns(caller: &Caller, order: &Order) -> bool {
    is(caller, order.customer_id)
}

pub(super) fn may_see(caller: &Caller, order: &Order) -> bool {
    may_see_of(caller, order.customer_id)
}

/// Whether the caller may see orders of that customer.
pub(super) fn may_see_of(caller: &Caller, customer: UserId) -> bool {
    is(caller, customer) || STAFF.iter().any(|role| caller.has_role(*role))
}

fn is(caller: &Caller, customer: UserId) -> bool {
    caller.user().is_ok_and(|user| user.user_id == customer)
}
