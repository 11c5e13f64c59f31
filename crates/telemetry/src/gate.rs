use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;

/// Lets through the log lines that are wanted, and all spans from `info` on: a quiet service still passes trace ids
/// on.
pub(crate) struct Gate {
    pub(crate) wanted: Targets,
}

impl Gate {
    fn lets_pass(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            *metadata.level() <= Level::INFO
        } else {
            self.wanted.would_enable(metadata.target(), metadata.level())
        }
    }
}

impl<S: Subscriber> Layer<S> for Gate {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.lets_pass(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lets_pass(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let lines = self.wanted.iter().map(|(_, level)| level).max();
        lines.max(Some(LevelFilter::INFO))
    }
}

/// A layer that hears of events alone: lines carry the trace's ids and nothing else of their spans, whose fields
/// need not be kept for them.
pub(crate) struct EventsOnly<L>(pub(crate) L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for EventsOnly<L> {
    fn on_layer(&mut self, subscriber: &mut S) {
        self.0.on_layer(subscriber);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.0.on_event(event, context);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    struct Count(Arc<AtomicU32>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_quiet_log_keeps_its_spans() {
        let lines = Arc::new(AtomicU32::new(0));
        let wanted = "warn,loud=debug".parse().unwrap();
        let subscriber = tracing_subscriber::registry()
            .with(EventsOnly(Count(Arc::clone(&lines))))
            .with(Gate { wanted });
        tracing::subscriber::with_default(subscriber, || {
            assert!(!tracing::info_span!("request").is_disabled());
            assert!(tracing::debug_span!("detail").is_disabled());
            tracing::info!("not wanted");
            tracing::warn!("wanted");
            tracing::debug!(target: "loud", "wanted too");
            tracing::trace!(target: "loud", "not wanted");
        });
        assert_eq!(lines.load(Ordering::Relaxed), 2);
    }
}
