//! Which route a path belongs to, told without asking every one of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use actix_web::dev::ServiceRequest;

const UNMATCHED: &str = "unmatched";
/// More shapes than any service has; a flood of made-up ones only costs what it would without this.
const SHAPES_MAX: usize = 1_024;
const UUID_LENGTH: usize = 36;

/// The patterns of the paths that one worker has seen, by their shapes: paths that differ in nothing but UUIDs belong to
/// the same route, as no route has a UUID in its pattern. actix looks for a pattern by trying one regular expression
/// after the other, and does so once more to find the handler.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Default)]
struct Inner {
    patterns: HashMap<String, Rc<str>>,
    /// Kept for its memory alone.
    shape: String,
}

impl Routes {
    pub(crate) fn pattern_of(&self, request: &ServiceRequest) -> Rc<str> {
        self.pattern(request.path(), || request.match_pattern())
    }

    fn pattern(&self, path: &str, find: impl FnOnce() -> Option<String>) -> Rc<str> {
        let Inner { patterns, shape } = &mut *self.inner.borrow_mut();
        write_shape(path, shape);
        if let Some(pattern) = patterns.get(shape.as_str()) {
            return Rc::clone(pattern);
        }
        let pattern: Rc<str> = find().map_or_else(|| UNMATCHED.into(), Into::into);
        if patterns.len() >= SHAPES_MAX {
            patterns.clear();
        }
        patterns.insert(shape.clone(), Rc::clone(&pattern));
        pattern
    }
}

/// The path with `{}` in the place of every UUID.
fn write_shape(path: &str, shape: &mut String) {
    shape.clear();
    for (place, segment) in path.split('/').enumerate() {
        if place > 0 {
            shape.push('/');
        }
        shape.push_str(if is_uuid(segment) { "{}" } else { segment });
    }
}

fn is_uuid(segment: &str) -> bool {
    segment.len() == UUID_LENGTH
        && segment.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn paths_that_differ_in_ids_alone_are_looked_up_once() {
        let routes = Routes::default();
        let asked = std::cell::Cell::new(0);
        let find = |pattern: &str| {
            asked.set(asked.get() + 1);
            Some(pattern.to_owned())
        };
        let path = |id: &str| format!("/v1/products/{id}/reviews");
        assert_eq!(&*routes.pattern(&path(ID), || find("reviews")), "reviews");
        let other = ID.replace('0', "f");
        assert_eq!(&*routes.pattern(&path(&other), || find("other")), "reviews");
        assert_eq!(asked.get(), 1);
        for wrong in [
            "x",
            "01890a5d-ac96-774b-bcce-b302099a805",
            "01890a5d-ac96-774b-bcce_b302099a8057",
        ] {
            assert_eq!(&*routes.pattern(&path(wrong), || None), UNMATCHED);
        }
        assert_eq!(
            &*routes.pattern("/v1/products/{}/reviews/", || find("deeper")),
            "deeper"
        );
    }

    #[test]
    fn made_up_paths_take_bounded_memory() {
        let routes = Routes::default();
        for number in 0..10_000 {
            routes.pattern(&format!("/{number}"), || None);
        }
        assert!(routes.inner.borrow().patterns.len() <= SHAPES_MAX);
    }
}
