//! Pure tables; the story itself is shown by the scenarios over real sockets.

mod decisions;
mod storing;
