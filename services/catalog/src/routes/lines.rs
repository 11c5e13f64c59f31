//! Lines out of a body that arrives in pieces, in bounded memory.

use bytes::{Buf, Bytes, BytesMut};

use crate::app::import::LINE_BYTES_MAX;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Bytes),
    /// Longer than [`LINE_BYTES_MAX`]; its bytes are gone.
    TooLong,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no newline.
    scanned: usize,
    /// Within a line that was given up.
    skipping: bool,
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next line that is complete; blank ones too, for they count.
    pub(super) fn next(&mut self) -> Option<Line> {
        let unseen = self.buffer.get(self.scanned..)?;
        if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.scanned + at).freeze();
            self.buffer.advance(1);
            self.scanned = 0;
            return Some(self.line(line));
        }
        self.scanned = self.buffer.len();
        if self.scanned > LINE_BYTES_MAX {
            self.skipping = true;
            self.buffer.clear();
            self.scanned = 0;
        }
        None
    }

    /// After the last piece: the last line needs no newline.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let rest = self.buffer.split().freeze();
        self.scanned = 0;
        if rest.is_empty() && !self.skipping {
            return None;
        }
        Some(self.line(rest))
    }

    fn line(&mut self, line: Bytes) -> Line {
        if std::mem::take(&mut self.skipping) || line.len() > LINE_BYTES_MAX {
            Line::TooLong
        } else {
            Line::Whole(line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(body: &[u8], size: usize) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in body.chunks(size) {
            lines.push(piece);
            while let Some(line) = lines.next() {
                seen.push(line);
            }
        }
        seen.extend(lines.finish());
        seen
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines_come_whole_however_the_body_was_cut() {
        for size in 1..12 {
            assert_eq!(
                all(b"one\n\ntwo\nthree", size),
                [whole("one"), whole(""), whole("two"), whole("three")],
                "pieces of {size}"
            );
            assert_eq!(all(b"one\n", size), [whole("one")]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_costs_no_memory_and_not_the_next_one() {
        let mut body = vec![b'x'; 5 * LINE_BYTES_MAX];
        body.extend_from_slice(b"\nnext\n");
        assert_eq!(all(&body, 64 * 1024), [Line::TooLong, whole("next")]);
        assert_eq!(all(&body, body.len()), [Line::TooLong, whole("next")]);
        assert_eq!(all(&vec![b'x'; 2 * LINE_BYTES_MAX], 1024), [Line::TooLong]);

        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push(&vec![b'x'; 64 * 1024]);
            assert_eq!(lines.next(), None);
            assert!(lines.buffer.len() <= LINE_BYTES_MAX + 64 * 1024);
        }
    }
}
