use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::ids;

/// Where a request or an event stands in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracePoint {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) flags: TraceFlags,
}

impl TracePoint {
    /// That of the span, if it is within a trace.
    pub fn of(span: &Span) -> Option<Self> {
        ids::point_of(span).or_else(|| Self::within(&span.context()))
    }

    pub(crate) fn within(context: &Context) -> Option<Self> {
        let reference = context.span();
        let found = reference.span_context();
        found.is_valid().then(|| Self {
            trace_id: found.trace_id(),
            span_id: found.span_id(),
            flags: found.trace_flags(),
        })
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace_id.to_bytes())
    }

    /// As a W3C `traceparent`, to send along with a request or an event.
    pub fn traceparent(&self) -> String {
        // Every request has several of these written: formatting its numbers would cost more than making them.
        let flags = (self.flags & TraceFlags::SAMPLED).to_u8();
        let ids = [
            hex::encode(self.trace_id.to_bytes()),
            hex::encode(self.span_id.to_bytes()),
        ];
        ["00", &ids[0], &ids[1], &hex::encode([flags])].join("-")
    }
}

/// The trace id of the current span: 32 hexadecimal digits.
pub fn current_trace_id() -> Option<String> {
    TracePoint::of(&Span::current()).map(|point| point.trace_id())
}

/// The current span as a W3C `traceparent`.
pub fn current_traceparent() -> Option<String> {
    TracePoint::of(&Span::current()).map(|point| point.traceparent())
}

/// Makes `span` a child of the span that a caller or a producer named in its `traceparent`. A
/// malformed value is ignored: the span then starts a trace of its own.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Some(parent) = parse(traceparent) else {
        return;
    };
    if ids::adopt(span, &parent) {
        return;
    }
    let context = Context::new().with_remote_span_context(parent);
    if span.set_parent(context).is_err() {
        tracing::debug!("the span was already started: its parent stays as it is");
    }
}

/// A `traceparent` after the W3C recommendation "Trace Context", section 3.2. Read here instead of by a
/// propagator, which would want a map of headers made for every request.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.trim().split('-');
    let mut hex = |digits: usize| {
        let lower = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        parts
            .next()
            .filter(|part| part.len() == digits && part.bytes().all(lower))
    };
    let version = hex(2).filter(|version| *version != "ff")?;
    let trace_id = TraceId::from_hex(hex(32)?).ok()?;
    let span_id = SpanId::from_hex(hex(16)?).ok()?;
    let flags = u8::from_str_radix(hex(2)?, 16).ok()?;
    // Only later versions may have more parts.
    if version == "00" && parts.next().is_some() {
        return None;
    }
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_reference_implementation_reads_it() {
        for text in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "",
            "nonsense",
        ] {
            let carrier = HashMap::from([("traceparent".to_owned(), text.to_owned())]);
            let theirs = TraceContextPropagator::new().extract(&carrier);
            let theirs = theirs.span().span_context().clone();
            let ours = parse(text);
            assert_eq!(ours.is_some(), theirs.is_valid(), "{text}");
            if let Some(ours) = ours {
                assert_eq!(ours.trace_id(), theirs.trace_id(), "{text}");
                assert_eq!(ours.span_id(), theirs.span_id(), "{text}");
                assert_eq!(ours.is_sampled(), theirs.is_sampled(), "{text}");
            }
        }
    }

    #[test]
    fn an_id_with_a_digit_missing_is_none() {
        // The reference implementation takes it.
        assert!(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01").is_none());
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = parse(text).unwrap();
        let point = TracePoint {
            trace_id: read.trace_id(),
            span_id: read.span_id(),
            flags: read.trace_flags(),
        };
        assert_eq!(point.traceparent(), text);
        assert_eq!(point.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    }
}
