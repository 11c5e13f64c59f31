use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::engine::SearchEngine;
use crate::workers::Backlog;

/// An index and how far it is.
#[derive(Clone)]
pub(crate) struct Followed {
    pub(crate) engine: Arc<dyn SearchEngine>,
    pub(crate) backlog: Arc<Backlog>,
}

impl Followed {
    pub(crate) fn new(engine: Arc<dyn SearchEngine>) -> Self {
        Self {
            engine,
            backlog: Arc::new(Backlog::default()),
        }
    }
}

/// Which index searches are answered from, and which one is being filled to take its place.
pub(crate) struct Serving {
    state: RwLock<State>,
    asked: Notify,
}

struct State {
    current: Followed,
    rebuild: Rebuild,
}

#[derive(Default)]
enum Rebuild {
    #[default]
    None,
    Asked,
    Filling(Followed),
}

/// A rebuild was asked for while one is under way.
#[derive(Debug)]
pub(crate) struct AlreadyRebuilding;

impl Serving {
    pub(crate) fn new(engine: Arc<dyn SearchEngine>) -> Self {
        Self {
            state: RwLock::new(State {
                current: Followed::new(engine),
                rebuild: Rebuild::None,
            }),
            asked: Notify::new(),
        }
    }

    pub(crate) fn current(&self) -> Followed {
        self.read(|state| state.current.clone())
    }

    pub(crate) fn engine(&self) -> Arc<dyn SearchEngine> {
        self.read(|state| Arc::clone(&state.current.engine))
    }

    /// The index that is being filled.
    pub(crate) fn filling(&self) -> Option<Followed> {
        self.read(|state| match &state.rebuild {
            Rebuild::Filling(next) => Some(next.clone()),
            Rebuild::None | Rebuild::Asked => None,
        })
    }

    pub(crate) fn ask_for_rebuild(&self) -> Result<(), AlreadyRebuilding> {
        self.write(|state| match state.rebuild {
            Rebuild::None => {
                state.rebuild = Rebuild::Asked;
                Ok(())
            }
            Rebuild::Asked | Rebuild::Filling(_) => Err(AlreadyRebuilding),
        })?;
        self.asked.notify_one();
        Ok(())
    }

    pub(crate) async fn rebuild_asked(&self) {
        self.asked.notified().await;
    }

    pub(crate) fn fill(&self, next: Followed) {
        self.write(|state| state.rebuild = Rebuild::Filling(next));
    }

    pub(crate) fn give_up(&self) {
        self.write(|state| state.rebuild = Rebuild::None);
    }

    /// From now on searches are answered from this index.
    pub(crate) fn swap(&self, next: Followed) {
        self.write(|state| {
            state.current = next;
            state.rebuild = Rebuild::None;
        });
    }

    // Nothing panics while it holds the lock, and every state is whole.
    fn read<T>(&self, of: impl FnOnce(&State) -> T) -> T {
        of(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, of: impl FnOnce(&mut State) -> T) -> T {
        of(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}
