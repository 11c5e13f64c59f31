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
