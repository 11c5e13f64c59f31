//! Who may see and change which order. What a caller may not see does not exist for it.

use ferrocart_http_kit::{Caller, Role};

use crate::domain::Order;

const STAFF: [Role; 4] = [Role::Support, Role::Admin, Role::Warehouse, Role::Service];

pub(super) fn owns(caller: &Caller, order: &Order) -> bool {
    caller.user().is_ok_and(|user| user.user_id == order.customer_id)
}

pub(super) fn may_see(caller: &Caller, order: &Order) -> bool {
    owns(caller, order) || STAFF.iter().any(|role| caller.has_role(*role))
}
