//! The raw client: writes what the test says, reads exactly what comes.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::patience::patiently;
use crate::reply::{ClientError, ClientResponse, Streaming, read_head};
use crate::send::Sends;
use crate::wire::Wire;

/// What a client's bytes travel on.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One client connection. Requests on it follow one another (keep-alive). Methods without `try_` fail the test where
/// the connection does.
pub struct Client {
    pub(crate) wire: Wire<Box<dyn Io>>,
    host: String,
    /// For each request on its way, whether it was a HEAD: its response has no body.
    heads: VecDeque<bool>,
}

impl Client {
    /// Connects. Requests carry `host: test.example` unless told otherwise.
    pub async fn connect(address: SocketAddr) -> Self {
        let what = || format!("a connection to {address}");
        match patiently(what, TcpStream::connect(address)).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                Self::over(stream)
            }
            Err(error) => panic!("no connection to {address}: {error}"),
        }
    }

    /// A client over a stream that is already there (TLS, a pipe).
    pub fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { wire: Wire::new(Box::new(io)), host: "test.example".to_owned(), heads: VecDeque::new() }
    }

    /// The host that requests carry from now on.
    pub fn with_host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// Starts a GET.
    pub fn get(&mut self, target: &str) -> RequestBuilder<'_> {
        self.request("GET", target)
    }

    /// Starts a HEAD.
    pub fn head(&mut self, target: &str) -> RequestBuilder<'_> {
        self.request("HEAD", target)
    }

    /// Starts a POST.
    pub fn post(&mut self, target: &str, body: impl Into<Bytes>) -> RequestBuilder<'_> {
        self.request("POST", target).body(body)
    }

    /// Starts a request of any method.
    pub fn request(&mut self, method: &str, target: &str) -> RequestBuilder<'_> {
        self.prepared(Sends::request(method, target))
    }

    /// Starts a request that was written before.
    pub fn prepared(&mut self, sends: Sends) -> RequestBuilder<'_> {
        RequestBuilder { client: self, sends }
    }

    /// Writes bytes as they are; what starts like a request (`METHOD target HTTP/…`) counts as one, so that the
    /// response to a HEAD is read as one. At most one request a call.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let line = bytes.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
        if String::from_utf8_lossy(line).contains(" HTTP/") {
            self.heads.push_back(line.starts_with(b"HEAD "));
        }
        self.write(bytes).await;
    }

    /// Writes bytes as they are: a body, an upgraded protocol.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = patiently(|| "a write".to_owned(), self.wire.write(bytes.as_ref())).await;
        if let Err(error) = written {
            panic!("the client cannot write: {error}");
        }
    }

    /// Writes as much as the other side takes and gives errors back.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), ClientError> {
        let writing = self.wire.write(bytes.as_ref());
        patiently(|| "a write".to_owned(), writing).await.map_err(ClientError::new)
    }

    /// Reads the next final response with its body; interim ones are kept in it.
    pub async fn response(&mut self) -> ClientResponse {
        match self.try_response().await {
            Ok(response) => response,
            Err(error) => panic!("no whole response: {error}"),
        }
    }

    /// As [`response`](Self::response); a connection that ends too early is an error.
    pub async fn try_response(&mut self) -> Result<ClientResponse, ClientError> {
        self.try_start_response().await?.try_rest().await
    }

    /// Reads the head of the next final response; its body is read step by step.
    pub async fn start_response(&mut self) -> Streaming<'_> {
        match self.try_start_response().await {
            Ok(streaming) => streaming,
            Err(error) => panic!("no response: {error}"),
        }
    }

    /// As [`start_response`](Self::start_response); a connection that ends too early is an error.
    pub async fn try_start_response(&mut self) -> Result<Streaming<'_>, ClientError> {
        let mut interim = Vec::new();
        loop {
            let head = self.try_any_head().await?;
            if head.status >= 200 || head.status == 101 {
                let to_head = self.heads.pop_front().unwrap_or(false);
                return Streaming::new(&mut self.wire, head, interim, to_head);
            }
            interim.push(head);
        }
    }

    /// Reads the next response head, interim (1xx) or final; only for interim ones, their final one is read by
    /// [`response`](Self::response).
    pub async fn interim(&mut self) -> ClientResponse {
        match self.try_any_head().await {
            Ok(head) if head.status < 200 => head,
            Ok(head) => panic!("a final response came in place of an interim one:\n{head}"),
            Err(error) => panic!("no interim response: {error}"),
        }
    }

    async fn try_any_head(&mut self) -> Result<ClientResponse, ClientError> {
        patiently(|| "a response head".to_owned(), read_head(&mut self.wire)).await
    }

    /// Reads exactly `count` bytes, as after an upgrade.
    pub async fn read_exact(&mut self, count: usize) -> Bytes {
        let mut bytes = vec![0; count];
        let reading = self.wire.read_exact(&mut bytes);
        if let Err(error) = patiently(|| format!("{count} bytes"), reading).await {
            panic!("the client cannot read {count} bytes: {error}");
        }
        bytes.into()
    }

    /// Waits until the other side closes; gives what it sent before.
    pub async fn closed(&mut self) -> Bytes {
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _ = patiently(|| "the connection to be closed".to_owned(), self.wire.read_to_end(&mut bytes)).await;
        bytes.into()
    }

    /// Says that nothing more will be sent (half-close).
    pub async fn finish_sending(&mut self) {
        let _ = self.wire.io.shutdown().await;
    }

    /// The stream itself, with whatever was read ahead, to speak another protocol on it.
    pub fn into_io(self) -> impl AsyncRead + AsyncWrite + Send + Unpin {
        self.wire
    }
}

/// A request that is being written down.
pub struct RequestBuilder<'c> {
    client: &'c mut Client,
    sends: Sends,
}

impl<'c> RequestBuilder<'c> {
    /// Adds a header line.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.sends = self.sends.header(name, value);
        self
    }

    /// Another host than the client's.
    pub fn host(mut self, host: &str) -> Self {
        self.sends = self.sends.host(host);
        self
    }

    /// The body, sent with its content-length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.sends = self.sends.body(body);
        self
    }

    /// The body in chunks.
    pub fn chunks<B: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        self.sends = self.sends.chunks(chunks);
        self
    }

    /// Asks for an upgrade to `protocol`.
    pub fn upgrade(self, protocol: &str) -> Self {
        self.header("connection", "upgrade").header("upgrade", protocol)
    }

    /// Sends it and reads the response.
    pub async fn send(self) -> ClientResponse {
        self.write().await.response().await
    }

    /// Sends it and reads the response; a connection that ends too early is an error.
    pub async fn try_send(self) -> Result<ClientResponse, ClientError> {
        let bytes = self.sends.bytes(&self.client.host);
        self.client.heads.push_back(self.sends.method == "HEAD");
        self.client.try_write(bytes).await?;
        self.client.try_response().await
    }

    /// Sends it and reads the response's head; the body follows step by step.
    pub async fn stream(self) -> Streaming<'c> {
        self.write().await.start_response().await
    }

    /// Only sends it.
    pub async fn write(self) -> &'c mut Client {
        let bytes = self.sends.bytes(&self.client.host);
        self.client.heads.push_back(self.sends.method == "HEAD");
        self.client.write(bytes).await;
        self.client
    }
}
