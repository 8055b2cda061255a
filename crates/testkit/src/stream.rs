//! An answer's body as the test sends it, piece by piece.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::patience::patiently;

/// What the test orders next for a streamed body.
#[derive(Debug)]
pub(crate) enum Order {
    Send(Bytes),
    End,
    Cut,
    Reset,
}

/// The test's end of an [`Answer::stream`](crate::Answer::stream). Dropping it cuts the body.
#[derive(Debug)]
pub struct StreamHandle {
    orders: mpsc::UnboundedSender<Order>,
}

impl StreamHandle {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, received) = mpsc::unbounded_channel();
        (Self { orders }, received)
    }

    /// Sends a piece of the body. Lost when the receiver has gone: see [`closed`](Self::closed).
    pub fn send(&self, bytes: impl Into<Bytes>) {
        let _ = self.orders.send(Order::Send(bytes.into()));
    }

    /// Ends the body as it should end.
    pub fn end(self) {
        let _ = self.orders.send(Order::End);
    }

    /// Closes the connection in the middle of the body.
    pub fn cut(self) {
        let _ = self.orders.send(Order::Cut);
    }

    /// Resets the connection (TCP RST) in the middle of the body.
    pub fn reset(self) {
        let _ = self.orders.send(Order::Reset);
    }

    /// Waits until whoever asked has closed the connection (or the origin was stopped).
    pub async fn closed(&self) {
        patiently(|| "the connection of a streamed answer to be closed".to_owned(), self.orders.closed()).await;
    }
}
