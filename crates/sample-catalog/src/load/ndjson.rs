//! Lines out of a body that arrives in pieces.

use anyhow::ensure;

/// No line of an answer is longer than this.
const LINE_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Adds a piece and hands every line that it completed to `each`.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.take(each)?;
        }
        ensure!(
            self.pending.len() + rest.len() <= LINE_BYTES_MAX,
            "a line is longer than {LINE_BYTES_MAX} bytes"
        );
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// The last line needs no newline.
    pub(super) fn finish(mut self, each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.take(each)
    }

    fn take(&mut self, each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let line = self.pending.trim_ascii();
        if !line.is_empty() {
            each(line)?;
        }
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_body_was_cut() {
        let body = b"{\"line\":1}\r\n\n{\"line\":2}\n{\"summary\":1}";
        for size in 1..=body.len() {
            let mut seen = Vec::new();
            let mut each = |line: &[u8]| {
                seen.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            };
            let mut lines = Lines::default();
            for piece in body.chunks(size) {
                lines.push(piece, &mut each).unwrap();
            }
            lines.finish(&mut each).unwrap();
            assert_eq!(
                seen,
                ["{\"line\":1}", "{\"line\":2}", "{\"summary\":1}"],
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 64 * 1024];
        let refused = (0..8).any(|_| lines.push(&piece, &mut |_| Ok(())).is_err());
        assert!(refused);
    }
}
