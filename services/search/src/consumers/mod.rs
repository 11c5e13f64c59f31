mod events;
mod indexer;

use ferrocart_contracts::Topic;

pub(crate) use indexer::Indexer;

pub(crate) const TOPICS: [Topic; 2] = [Topic::Catalog, Topic::Inventory];

/// Every index is a consumer group of its own: a new one begins at the beginning.
pub(crate) fn group(index_id: &str) -> String {
    format!("search-{index_id}")
}
