//! What `ferrocart events` does: shows events decoded, the dead letters and how far consumers are behind, and has
//! one consumer group read events again.

pub mod decode;
pub mod dlq;
pub mod lag;
pub mod read;
pub mod replay;
pub mod select;
