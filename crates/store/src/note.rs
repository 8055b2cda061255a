//! A note at a stored response, of whoever uses it: what was worked out about it, and need not be worked out again.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// Room for one note. It goes with the response that it stands at, so nobody has to end it; what takes the response's place has none.
///
/// Whoever writes it sees to it that it holds nothing that has to be freed earlier, and that it costs no more than
/// [`StoredResponse::note_room`](crate::StoredResponse::note_room) bytes: so much is in the response's weight.
#[derive(Default)]
pub struct Note(ArcSwapOption<Box<dyn Any + Send + Sync>>);

impl Note {
    /// Reads the note, where there is one of this type.
    pub fn read<T: Any, R>(&self, read: impl FnOnce(&T) -> R) -> Option<R> {
        let note = self.0.load();
        note.as_ref()?.downcast_ref().map(read)
    }

    /// Writes a note in the place of the one that is there.
    pub fn write<T: Any + Send + Sync>(&self, note: T) {
        self.0.store(Some(Arc::new(Box::new(note))));
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note").field("written", &self.0.load().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_what_it_was_written() {
        let note = Note::default();
        assert_eq!(note.read(|number: &u8| *number), None);
        note.write(1_u8);
        assert_eq!(note.read(|number: &u8| *number), Some(1));
        assert_eq!(note.read(|number: &u16| *number), None);
        note.write("two");
        assert_eq!((note.read(|number: &u8| *number), note.read(|text: &&str| *text)), (None, Some("two")));
    }
}
