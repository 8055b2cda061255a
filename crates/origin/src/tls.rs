//! TLS to servers: whom to trust, as whom to appear, and what to say when a handshake fails. The only file that names rustls.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

use crate::error::{Kind, OriginError};
use crate::settings::TlsSettings;

/// Applications that are offered (ALPN, RFC 7301 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
    /// `h2`, or else `http/1.1`.
    Either,
}

impl Offer {
    fn protocols(self) -> Vec<Vec<u8>> {
        let (h2, http1) = (b"h2".to_vec(), b"http/1.1".to_vec());
        match self {
            Self::Http1 => vec![http1],
            Self::Http2 => vec![h2],
            Self::Either => vec![h2, http1],
        }
    }
}

/// A TCP stream through TLS.
pub(crate) type TlsStream = client::TlsStream<TcpStream>;

/// What an origin's servers have in common: whom to trust and as whom to appear.
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    roots: Roots,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    server_name: Option<ServerName<'static>>,
}

/// A part of [`TlsSettings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// `server_name`.
    ServerName,
    /// `ca`.
    Ca,
    /// The certificates of `identity`.
    Certificate,
    /// The key of `identity`.
    Key,
}

/// A part of [`TlsSettings`] that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    part: TlsPart,
    text: String,
}

impl TlsFault {
    fn of(part: TlsPart, text: impl fmt::Display) -> Self {
        Self { part, text: text.to_string() }
    }

    /// The part that has to change.
    pub fn part(&self) -> TlsPart {
        self.part
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TlsSettings {
    /// What keeps servers from being spoken to by these settings: PEM that holds no certificate or no key, a key of another
    /// certificate, a name that is none. Connects to nothing.
    pub fn check(&self) -> Vec<TlsFault> {
        let mut faults = Vec::new();
        if let Some(name) = self.server_name.as_deref() {
            faults.extend(server_name(name).err().map(|_| TlsFault::of(TlsPart::ServerName, NO_NAME)));
        }
        if let Some(pem) = self.ca.as_ref().filter(|_| self.verify) {
            faults.extend(authorities(pem).err().map(|text| TlsFault::of(TlsPart::Ca, text)));
        }
        if let Some((chain, key)) = &self.identity {
            faults.extend(check_identity(chain, key));
        }
        faults
    }
}

/// What is wrong with a client certificate and its key, each by itself and then both together.
fn check_identity(chain: &[u8], key: &[u8]) -> Vec<TlsFault> {
    let provider = ring::default_provider();
    let chain = certificates(chain).and_then(|chain| whole(&chain).map(|()| chain));
    let key = private_key(key).and_then(|key| {
        provider.key_provider.load_private_key(key).map_err(|error| format!("it is none that can be used: {error}"))
    });
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            let chain = chain.err().map(|text| TlsFault::of(TlsPart::Certificate, text));
            return chain.into_iter().chain(key.err().map(|text| TlsFault::of(TlsPart::Key, text))).collect();
        }
    };
    let is_of = |certificate: &CertificateDer<'static>| {
        let pair = CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match();
        // Where that cannot be told nothing is said.
        !matches!(pair, Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)))
    };
    match chain.iter().position(is_of) {
        Some(0) => Vec::new(),
        Some(place) => {
            let place = nth(place);
            let text =
                format!("the key belongs to the {place} certificate in it, and the client's own has to stand first");
            vec![TlsFault::of(TlsPart::Certificate, text)]
        }
        None => {
            let text = "it belongs to another certificate than the first one of the client certificate's file";
            vec![TlsFault::of(TlsPart::Key, text)]
        }
    }
}

/// Whether each of them can be read.
fn whole(chain: &[CertificateDer<'_>]) -> Result<(), String> {
    let read = |certificate| ParsedCertificate::try_from(certificate).map(drop);
    chain
        .iter()
        .enumerate()
        .try_for_each(|(place, certificate)| read(certificate).map_err(|error| broken(place, &error)))
}

fn broken(place: usize, error: &rustls::Error) -> String {
    format!("the {} certificate in it is broken: {error}", nth(place))
}

/// A place, counted from 0, in words.
fn nth(place: usize) -> String {
    match place {
        0 => "1st".to_owned(),
        1 => "2nd".to_owned(),
        2 => "3rd".to_owned(),
        more => format!("{}th", more + 1),
    }
}

enum Roots {
    /// Those of the settings.
    Own(Arc<RootCertStore>),
    /// The system's, read when they are first needed.
    System(OnceCell<Arc<RootCertStore>>),
    /// Nobody is asked for proof.
    Anybody,
}

impl Trust {
    /// What the settings say.
    ///
    /// # Errors
    /// `Settings` for what [`TlsSettings::check`] finds fault with.
    pub(crate) fn new(settings: &TlsSettings) -> Result<Arc<Self>, OriginError> {
        if let Some(TlsFault { part, text }) = settings.check().into_iter().next() {
            let part = match part {
                TlsPart::ServerName => "server_name",
                TlsPart::Ca => "ca",
                TlsPart::Certificate => "certificate",
                TlsPart::Key => "key",
            };
            return Err(settings_error(format!("`tls.{part}`: {text}")));
        }
        let roots = match &settings.ca {
            _ if !settings.verify => Roots::Anybody,
            Some(pem) => Roots::Own(Arc::new(authorities(pem).map_err(settings_error)?)),
            None => Roots::System(OnceCell::new()),
        };
        let identity = match &settings.identity {
            Some((chain, key)) => {
                Some((certificates(chain).map_err(settings_error)?, private_key(key).map_err(settings_error)?))
            }
            None => None,
        };
        let server_name = settings.server_name.as_deref().map(server_name).transpose()?;
        Ok(Arc::new(Self { provider: Arc::new(ring::default_provider()), roots, identity, server_name }))
    }

    async fn roots(&self) -> Result<Arc<RootCertStore>, OriginError> {
        match &self.roots {
            Roots::Own(roots) => Ok(roots.clone()),
            Roots::System(cell) => cell.get_or_try_init(system_authorities).await.cloned(),
            Roots::Anybody => Ok(Arc::new(RootCertStore::empty())),
        }
    }

    fn config(&self, roots: Arc<RootCertStore>) -> Result<ClientConfig, rustls::Error> {
        let builder =
            ClientConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &self.roots {
            Roots::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous(self.provider.clone())))
            }
            Roots::Own(_) | Roots::System(_) => {
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone()).build();
                builder.with_webpki_verifier(verifier.map_err(|error| rustls::Error::General(error.to_string()))?)
            }
        };
        match &self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()),
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

/// TLS to one server. Sessions are resumed with the same server only (RFC 8446 §2.2).
pub(crate) struct Tls {
    trust: Arc<Trust>,
    name: ServerName<'static>,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    /// TLS to the server at `host`, which is a host as in a URI.
    ///
    /// # Errors
    /// `Settings` for a host that cannot stand in a certificate.
    pub(crate) fn new(trust: &Arc<Trust>, host: &str) -> Result<Self, OriginError> {
        let name = match &trust.server_name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        Ok(Self { trust: trust.clone(), name, connector: OnceCell::new() })
    }

    /// The handshake, within `limit`; gives the stream, and whether `h2` was agreed on.
    ///
    /// # Errors
    /// `Tls`, `TlsTimeout`.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        offer: Offer,
        limit: Duration,
    ) -> Result<(TlsStream, bool), OriginError> {
        let connector = self.connector.get_or_try_init(|| self.connector()).await?;
        let handshake = connector.with_alpn(offer.protocols()).connect(self.name.clone(), stream);
        let stream = match timeout(limit, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(OriginError::because(Kind::Tls, self.failure(&error))),
            Err(_) => return Err(OriginError::new(Kind::TlsTimeout)),
        };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if offer == Offer::Http2 && !http2 {
            return Err(OriginError::because(Kind::Tls, no_http2()));
        }
        Ok((stream, http2))
    }

    async fn connector(&self) -> Result<TlsConnector, OriginError> {
        let roots = self.trust.roots().await?;
        let config = self.trust.config(roots).map_err(|error| settings_error(error.to_string()))?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn failure(&self, error: &io::Error) -> TlsFailure {
        match rustls_error(error) {
            Some(rustls::Error::InvalidCertificate(error)) => {
                TlsFailure { what: What::Certificate, text: self.certificate_failure(error) }
            }
            Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => no_http2(),
            Some(rustls::Error::AlertReceived(alert)) => alert_failure(*alert),
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => TlsFailure {
                what: What::Protocol,
                text: "it does not speak TLS at this port; is it an http:// server?".to_owned(),
            },
            Some(error) => TlsFailure { what: What::Protocol, text: error.to_string() },
            None if error.kind() == io::ErrorKind::UnexpectedEof => TlsFailure {
                what: What::Protocol,
                text: "it closed the connection during the handshake; does it speak TLS at this port, and is `proxy_protocol` as it expects?".to_owned(),
            },
            None => TlsFailure { what: What::Protocol, text: error.to_string() },
        }
    }

    /// What is wrong with a certificate, and what to do about it.
    fn certificate_failure(&self, error: &CertificateError) -> String {
        let name = self.name.to_str();
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("its certificate has expired ({error}); renew it there")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("its certificate is not valid yet ({error}); are the clocks right?")
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is from an unknown issuer; if it is the site's own, name that one in `tls.ca`"
                    .to_owned()
            }
            CertificateError::NotValidForName => {
                format!("its certificate is not valid for {name}; name the right one in `tls.server_name`")
            }
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "its certificate is not valid for {name} but for {}; name the right one in `tls.server_name`",
                // Said by the server: not more of it than a log line takes.
                presented.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
            CertificateError::Revoked => "its certificate was revoked; renew it there".to_owned(),
            error => format!("its certificate cannot be accepted: {error}"),
        }
    }
}

/// Why there is no TLS with a server, in words for its operator.
#[derive(Debug)]
pub(crate) struct TlsFailure {
    what: What,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Certificate,
    Alert,
    Protocol,
    /// Nothing of the server's.
    Settings,
}

impl TlsFailure {
    /// The server ended the connection right after the handshake, with these words.
    pub(crate) fn after_handshake(words: &str) -> Self {
        let text = format!("it ended the connection after the handshake: {words}; does it want a client certificate?");
        Self { what: What::Alert, text }
    }

    /// The proxy error type (RFC 9209 §2.3.16 to §2.3.18).
    pub(crate) fn proxy_status(&self) -> &'static str {
        match self.what {
            What::Certificate => "tls_certificate_error",
            What::Alert => "tls_alert_received",
            What::Protocol => "tls_protocol_error",
            What::Settings => "proxy_configuration_error",
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TlsFailure {}

/// Where a connection ended because the server did not take the client certificate: with TLS 1.3 that comes after the
/// handshake, in place of a response.
pub(crate) fn refused_identity(error: &io::Error) -> Option<TlsFailure> {
    match rustls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) if is_about_identity(*alert) => Some(alert_failure(*alert)),
        _ => None,
    }
}

fn is_about_identity(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::CertificateRequired
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
    )
}

fn alert_failure(alert: AlertDescription) -> TlsFailure {
    let text = match alert {
        AlertDescription::CertificateRequired => {
            "it wants a client certificate; name one in `tls.certificate` and `tls.key`".into()
        }
        alert if is_about_identity(alert) => format!("it does not take the client certificate: {alert:?}"),
        alert => format!("it ended the handshake: {alert:?}"),
    };
    TlsFailure { what: What::Alert, text }
}

fn no_http2() -> TlsFailure {
    let text = "it does not take HTTP/2 (ALPN h2); `protocol: auto` uses what it does take";
    TlsFailure { what: What::Protocol, text: text.to_owned() }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

const NO_NAME: &str = "no certificate can be for this name";

/// A host as in a URI (IPv6 in brackets) or a bare one, as certificates have it.
fn server_name(host: &str) -> Result<ServerName<'static>, OriginError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    // The root's dot is no part of a name in SNI (RFC 6066 §3).
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).map_err(|_| settings_error(format!("{host}: {NO_NAME}")))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (place, certificate) in certificates(pem)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| broken(place, &error))?;
    }
    Ok(roots)
}

/// The system's certificates: `SSL_CERT_FILE` and `SSL_CERT_DIR`, else where the system keeps them.
async fn system_authorities() -> Result<Arc<RootCertStore>, OriginError> {
    // Many small files: not by a thread that serves others.
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = found.map_err(|error| OriginError::because(Kind::Tls, error))?;
    let mut roots = RootCertStore::empty();
    // Systems carry some that cannot be used; the others count.
    let (taken, left) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        let text = format!("the system has no certificates to trust{why}; install `ca-certificates` or name `tls.ca`");
        return Err(OriginError::because(Kind::Tls, TlsFailure { what: What::Settings, text }));
    }
    tracing::debug!(taken, left, "the system's certificates are loaded");
    Ok(Arc::new(roots))
}

fn settings_error(what: String) -> OriginError {
    OriginError::because(Kind::Settings, what)
}

/// Takes any certificate, by the operator's word (`verify: false`). That the server holds its key is still checked.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
