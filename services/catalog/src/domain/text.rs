//! Rules for text and names, as garde takes them.

#![expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]

/// One line of 1 or more characters: no control characters, not only blanks.
pub(crate) fn line(max: usize) -> impl FnOnce(&str, &()) -> garde::Result {
    move |text, ()| {
        check_length(text, 1, max)?;
        if text.trim().is_empty() {
            return Err(garde::Error::new("must not be blank"));
        }
        refuse_control(text, |_| false)
    }
}

/// Several lines, or nothing.
pub(crate) fn block(max: usize) -> impl FnOnce(&str, &()) -> garde::Result {
    move |text, ()| {
        check_length(text, 0, max)?;
        refuse_control(text, |c| matches!(c, '\n' | '\r' | '\t'))
    }
}

/// A name that stands in URLs: `trail-running-shoe`.
pub(crate) fn slug_text(max: usize) -> impl FnOnce(&str, &()) -> garde::Result {
    move |text, ()| {
        check_length(text, 1, max)?;
        let well_formed = text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        if well_formed {
            return Ok(());
        }
        Err(garde::Error::new(
            "must be lower-case letters and digits, with single hyphens between, such as trail-running-shoe",
        ))
    }
}

/// A merchant's own article number: visible ASCII.
pub(crate) fn sku_text(text: &str, (): &()) -> garde::Result {
    check_length(text, 1, 64)?;
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(garde::Error::new(
        "must be visible ASCII characters without blanks",
    ))
}

pub(crate) fn check_length(text: &str, min: usize, max: usize) -> garde::Result {
    let length = text.chars().count();
    if (min..=max).contains(&length) {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "must have {min} to {max} characters, has {length}"
    )))
}

/// Control characters have no place in a catalog, and PostgreSQL takes no NUL.
pub(crate) fn refuse_control(text: &str, allowed: impl Fn(char) -> bool) -> garde::Result {
    if text.chars().any(|c| c.is_control() && !allowed(c)) {
        return Err(garde::Error::new("must not contain control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_fit_for_urls() {
        for good in ["a", "trail-running-shoe", "4k-tv-2"] {
            assert!(slug_text(100)(good, &()).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a b", "ä", "a/b", &"a".repeat(101)] {
            assert!(slug_text(100)(bad, &()).is_err(), "{bad}");
        }
    }

    #[test]
    fn nul_and_blank_lines_are_refused() {
        assert!(line(10)("a\0", &()).is_err());
        assert!(line(10)("  ", &()).is_err());
        assert!(line(10)("a\nb", &()).is_err());
        assert!(block(10)("a\nb", &()).is_ok());
        assert!(block(10)("", &()).is_ok());
        assert!(block(10)("a\0b", &()).is_err());
    }
}
