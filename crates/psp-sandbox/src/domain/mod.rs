//! What the provider keeps: pure types and their transitions, no I/O.

pub(crate) mod charge;
pub(crate) mod intent;
pub(crate) mod method;
pub(crate) mod money;
pub(crate) mod refund;

/// A move that the state of an object does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The object is in the state `from`, and `action` does not exist there.
    State {
        action: &'static str,
        from: &'static str,
    },
    /// More was asked for than there is.
    TooMuch { asked: i64, at_most: i64 },
    /// The authorization ran out before it was captured.
    Expired { capture_before: i64 },
    /// The authorization still holds; only the passing of time may expire it.
    NotYet { capture_before: i64 },
    /// Everything that was captured has gone back already.
    AlreadyRefunded,
}
