use std::sync::Arc;

use thread_local::ThreadLocal;

/// An HTTP client for each thread that asks for one. A connection is driven where it was made: with one client for
/// all HTTP workers, most requests would wake the thread of another one, and that one them again.
#[derive(Clone)]
pub struct ThreadClients {
    clients: Arc<ThreadLocal<reqwest::Client>>,
    builder: Arc<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>,
}

impl ThreadClients {
    /// Fails here rather than at the first request, if no client can be made.
    pub fn new(
        builder: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> reqwest::Result<Self> {
        let clients = Self {
            clients: Arc::default(),
            builder: Arc::new(builder),
        };
        clients.get()?;
        Ok(clients)
    }

    /// This thread's.
    pub fn get(&self) -> reqwest::Result<&reqwest::Client> {
        self.clients.get_or_try(|| (self.builder)().build())
    }
}
