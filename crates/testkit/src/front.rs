//! How a scripted origin is spoken to: its socket, the PROXY protocol, TLS, the version of HTTP.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::{Authority, Certificate};
use crate::origin::OpenConnection;
use crate::request::Tls;
use crate::{serve, serve_h2};

/// How an origin is spoken to. The default is HTTP/1 over TCP.
#[derive(Clone, Debug, Default)]
pub struct Front {
    tls: Option<(Certificate, Option<Authority>)>,
    protocols: Vec<String>,
    http2: bool,
    max_streams: Option<u32>,
    proxy_header: bool,
    unix: Option<PathBuf>,
}

impl Front {
    /// TLS with this certificate.
    pub fn tls(certificate: &Certificate) -> Self {
        Self { tls: Some((certificate.clone(), None)), ..Self::default() }
    }

    /// At a unix socket of its own.
    pub fn unix() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("copal-{}-{}.sock", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { unix: Some(std::env::temp_dir().join(name)), ..Self::default() }
    }

    /// HTTP/2 without asking (RFC 9113 §3.3); with TLS, say `h2` in [`protocols`](Self::protocols).
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Lets only clients in that have a certificate of this authority.
    pub fn asks_clients(mut self, authority: &Authority) -> Self {
        if let Some((_, clients)) = &mut self.tls {
            *clients = Some(authority.clone());
        }
        self
    }

    /// What is agreed to by ALPN, the best first; `h2` is then spoken.
    pub fn protocols(mut self, names: &[&str]) -> Self {
        self.protocols = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// How many streams of HTTP/2 it takes at a time.
    pub fn max_streams(mut self, count: u32) -> Self {
        self.max_streams = Some(count);
        self
    }

    /// Takes a header of the PROXY protocol, of either version, before anything else: see
    /// [`Request::preface`](crate::Request::preface).
    pub fn proxy_header(mut self) -> Self {
        self.proxy_header = true;
        self
    }

    pub(crate) fn unix_path(&self) -> Option<&PathBuf> {
        self.unix.as_ref()
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The TLS that it speaks, ready.
    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        let (certificate, clients) = self.tls.as_ref()?;
        match self.config(certificate, clients.as_ref()) {
            Ok(config) => Some(TlsAcceptor::from(Arc::new(config))),
            Err(error) => panic!("the scripted origin cannot speak TLS: {error}"),
        }
    }

    fn config(
        &self,
        certificate: &Certificate,
        clients: Option<&Authority>,
    ) -> Result<ServerConfig, Box<dyn std::error::Error>> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.chain.as_bytes())?];
        let mut config = builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())?)?;
        config.alpn_protocols = self.protocols.iter().map(|name| name.clone().into_bytes()).collect();
        Ok(config)
    }

    /// Serves a connection until one side ends it. Errors are the other side's doing and end it too.
    pub(crate) async fn serve<S: Transport>(
        self: Arc<Self>,
        acceptor: Option<TlsAcceptor>,
        mut stream: S,
        number: usize,
        log: OpenConnection,
    ) {
        let mut facts = Facts { connection: number, ..Facts::default() };
        if self.proxy_header {
            match read_header(&mut stream).await {
                Ok(bytes) => facts.preface = bytes,
                Err(_) => return,
            }
        }
        let Some(acceptor) = acceptor else {
            return self.speak(stream, facts, log).await;
        };
        if let Ok(stream) = acceptor.accept(stream).await {
            let session = stream.get_ref().1;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            facts.tls = Some(Tls {
                server_name: session.server_name().map(str::to_owned),
                protocol: session.alpn_protocol().map(text),
                client_certificate: session.peer_certificates().is_some(),
                resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            });
            self.speak(stream, facts, log).await;
        }
    }

    async fn speak<S: Transport>(&self, stream: S, facts: Facts, log: OpenConnection) {
        let agreed = facts.tls.as_ref().and_then(|tls| tls.protocol.as_deref()) == Some("h2");
        match agreed || self.http2 {
            true => serve_h2::serve(stream, facts, Arc::new(log), self.max_streams).await,
            false => serve::serve(stream, facts, log).await,
        }
    }
}

/// What is known of a connection before its first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) connection: usize,
    pub(crate) preface: Bytes,
    pub(crate) tls: Option<Tls>,
}

/// A stream that a connection can be ended on in two ways.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The end is to be a reset, where there is such a thing.
    fn reset_at_end(&self);

    /// Says that the end is one, where that takes words.
    fn finish(&mut self) -> impl Future<Output = ()> + Send;
}

impl Transport for TcpStream {
    fn reset_at_end(&self) {
        let _ = self.set_zero_linger();
    }

    async fn finish(&mut self) {}
}

impl Transport for UnixStream {
    fn reset_at_end(&self) {}

    async fn finish(&mut self) {}
}

impl<S: Transport> Transport for TlsStream<S> {
    fn reset_at_end(&self) {
        self.get_ref().0.reset_at_end();
    }

    async fn finish(&mut self) {
        let _ = self.shutdown().await;
    }
}

/// The bytes of a PROXY header and no more.
async fn read_header<S: Transport>(stream: &mut S) -> io::Result<Bytes> {
    let mut header = vec![0; 12];
    stream.read_exact(&mut header).await?;
    if header.starts_with(b"\r\n") {
        header.resize(16, 0);
        stream.read_exact(&mut header[12..]).await?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        header.resize(16 + length, 0);
        stream.read_exact(&mut header[16..]).await?;
    } else {
        while !header.ends_with(b"\r\n") && header.len() < 107 {
            header.push(stream.read_u8().await?);
        }
    }
    Ok(header.into())
}
