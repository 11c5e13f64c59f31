//! Where an operation can be made to go wrong.

use ferrocart_failpoint::Site;

use crate::domain::OperationKind;

/// Asking the provider.
pub(super) const fn of_call(kind: OperationKind) -> Site {
    match kind {
        OperationKind::Authorize => Site::PaymentAuthorize,
        OperationKind::Capture => Site::PaymentCapture,
        OperationKind::Void => Site::PaymentVoid,
        OperationKind::Refund => Site::PaymentRefund,
    }
}

/// Writing down what the provider said.
pub(super) const fn of_record(kind: OperationKind) -> Site {
    match kind {
        OperationKind::Authorize => Site::PaymentAuthorizeRecord,
        OperationKind::Capture => Site::PaymentCaptureRecord,
        OperationKind::Void => Site::PaymentVoidRecord,
        OperationKind::Refund => Site::PaymentRefundRecord,
    }
}
