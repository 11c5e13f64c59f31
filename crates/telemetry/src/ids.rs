use opentelemetry::trace::{SpanContext, TraceFlags};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::span::{Attributes, Id};
use tracing::{Span, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::TracePoint;

/// Gives every span its place in a trace, and records nothing. It stands where the exporter's layer would when spans
/// are sent nowhere: ids are made and passed on the same, at a small part of the cost.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    generator: RandomIdGenerator,
}

impl<S> Layer<S> for Ids
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let above = span
            .parent()
            .and_then(|parent| parent.extensions().get::<TracePoint>().copied());
        let point = TracePoint {
            trace_id: above.map_or_else(|| self.generator.new_trace_id(), |above| above.trace_id),
            span_id: self.generator.new_span_id(),
            flags: above.map_or_else(TraceFlags::default, |above| above.flags),
        };
        span.extensions_mut().insert(point);
    }
}

/// Where the span stands, if [`Ids`] said so.
pub(crate) fn point_of(span: &Span) -> Option<TracePoint> {
    let point = span.with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(id)?;
        let extensions = span.extensions();
        extensions.get::<TracePoint>().copied()
    });
    point.flatten()
}

/// Where the line stands that is being written.
pub(crate) fn current<S>(context: &Context<'_, S>) -> Option<TracePoint>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    context
        .lookup_current()?
        .extensions()
        .get::<TracePoint>()
        .copied()
}

/// Puts the span under one of another process. Answers whether it stands where [`Ids`] put it.
pub(crate) fn adopt(span: &Span, parent: &SpanContext) -> bool {
    let adopted = span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let mut extensions = span.extensions_mut();
        let point = extensions.get_mut::<TracePoint>()?;
        point.trace_id = parent.trace_id();
        // Whoever samples goes on doing so behind this process.
        point.flags = parent.trace_flags();
        Some(())
    });
    adopted.flatten().is_some()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::set_parent;

    const REMOTE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn spans_stand_in_the_trace_of_their_parent_wherever_that_is() {
        let subscriber = tracing_subscriber::registry().with(Ids::default());
        tracing::subscriber::with_default(subscriber, || {
            let root = tracing::info_span!("root");
            let other = tracing::info_span!("other");
            let child = tracing::info_span!(parent: &root, "child");
            let [root, other, child] = [&root, &other, &child].map(|span| point_of(span).unwrap());
            assert_ne!(root.trace_id, other.trace_id);
            assert_eq!(child.trace_id, root.trace_id);
            assert_ne!(child.span_id, root.span_id);
            assert!(!root.flags.is_sampled());

            let served = tracing::info_span!("served");
            let own = point_of(&served).unwrap().span_id;
            set_parent(&served, REMOTE);
            let below = tracing::info_span!(parent: &served, "below");
            for span in [&served, &below] {
                let point = point_of(span).unwrap();
                assert_eq!(point.trace_id(), "0af7651916cd43dd8448eb211c80319c");
                assert!(point.flags.is_sampled(), "the caller samples");
            }
            assert_eq!(point_of(&served).unwrap().span_id, own);
        });
        assert_eq!(point_of(&Span::none()), None);
    }
}
