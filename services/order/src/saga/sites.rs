//! Where a step can be made to go wrong.

use ferrocart_failpoint::Site;

use crate::domain::Step;

/// The step's call.
pub(super) const fn of_call(step: Step) -> Site {
    match step {
        Step::Reserve => Site::OrderReserve,
        Step::Authorize => Site::OrderAuthorize,
        Step::Confirm => Site::OrderConfirm,
        Step::Deduct => Site::OrderDeduct,
        Step::Capture => Site::OrderCapture,
        Step::Refund => Site::OrderRefund,
        Step::Void => Site::OrderVoid,
        Step::Release => Site::OrderRelease,
    }
}

/// The record of what became of it.
pub(super) const fn of_record(step: Step) -> Site {
    match step {
        Step::Reserve => Site::OrderReserveRecord,
        Step::Authorize => Site::OrderAuthorizeRecord,
        Step::Confirm => Site::OrderConfirmRecord,
        Step::Deduct => Site::OrderDeductRecord,
        Step::Capture => Site::OrderCaptureRecord,
        Step::Refund => Site::OrderRefundRecord,
        Step::Void => Site::OrderVoidRecord,
        Step::Release => Site::OrderReleaseRecord,
    }
}
