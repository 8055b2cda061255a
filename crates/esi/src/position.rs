//! Where in a document a byte stands.

use memchr::{memchr_iter, memrchr};

/// A place in the document: the offset for arithmetic, line and column for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Bytes before this one.
    pub(crate) offset: u64,
    /// Counts from 1; `\n` ends a line.
    pub(crate) line: u32,
    /// Counts bytes from 1, because the encoding of the document is not known here.
    pub(crate) column: u32,
}

impl Position {
    /// The first byte of a document.
    pub(crate) const START: Self = Self { offset: 0, line: 1, column: 1 };

    /// Moves past `bytes`.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        let in_line = match memrchr(b'\n', bytes) {
            Some(last) => {
                let lines = memchr_iter(b'\n', bytes).count();
                self.line = self.line.saturating_add(saturate(lines));
                self.column = 1;
                bytes.len() - last - 1
            }
            None => bytes.len(),
        };
        self.column = self.column.saturating_add(saturate(in_line));
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn lines_and_columns_count_from_one_at_any_split() {
        let text = b"ab\ncd\n\nefg";
        for split in 0..=text.len() {
            let mut position = Position::START;
            position.advance(&text[..split]);
            position.advance(&text[split..]);
            assert_eq!(position, Position { offset: 10, line: 4, column: 4 }, "split {split}");
        }
    }
}
