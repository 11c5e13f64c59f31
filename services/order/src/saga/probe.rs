use std::ops::ControlFlow;

use uuid::Uuid;

use crate::domain::Step;

/// Where a driver can be when its process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The step's beginning is recorded, its call not yet made.
    BeforeCall(Step),
    /// The call has been answered, its outcome not yet recorded.
    AfterCall(Step),
    /// The end is recorded, the client not yet answered.
    AfterEnd,
}

/// Lets a test stop a driver dead, as `kill -9` would: nothing is cleaned up after it.
pub trait Probe: Send + Sync + 'static {
    fn reached(&self, order_id: Uuid, point: Point) -> ControlFlow<()>;
}
