words! {
    /// Why an order was cancelled.
    pub(crate) enum CancelReason {
        InsufficientStock = "INSUFFICIENT_STOCK",
        /// Inventory refused the reservation for another reason than stock.
        ReservationRefused = "RESERVATION_REFUSED",
        PaymentDeclined = "PAYMENT_DECLINED",
        /// Payment refused for another reason than a decline.
        PaymentFailed = "PAYMENT_FAILED",
        /// The customer did not act on the payment in time.
        PaymentTimeout = "PAYMENT_TIMEOUT",
        /// The reservation was gone before the payment was through.
        ReservationExpired = "RESERVATION_EXPIRED",
        /// Another order was made of the same cart.
        CartCheckedOut = "CART_CHECKED_OUT",
        /// Another service gave no answer, however often it was asked.
        DependencyUnavailable = "DEPENDENCY_UNAVAILABLE",
        CustomerRequest = "CUSTOMER_REQUEST",
        SupportRequest = "SUPPORT_REQUEST",
        /// The warehouse found no stock to ship.
        PickFailed = "PICK_FAILED",
    }
}
